"""From an image file to the pixels that a classifier looks at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torchvision.transforms.functional as transforms
from numpy.typing import NDArray
from PIL import Image

from robustcheck.errors import RobustcheckError
from robustcheck.models.preprocessing import Preprocessing

Pixels: TypeAlias = NDArray[np.uint8]  # (3, H, W), RGB, 0..255


@dataclass(frozen=True)
class Files:
    """Image files, each read when it is asked for by its position."""

    paths: tuple[Path, ...]
    rule: Preprocessing

    def __call__(self, position: int) -> Pixels:
        """The image at a position, decoded."""
        return decode(self.paths[position], self.rule)


def decode(path: Path, rule: Preprocessing) -> Pixels:
    """The image in a file, resized and cropped by `rule`: what torchvision and timm make of it, before the floats.

    Raises RobustcheckError naming the file if Pillow cannot decode it.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
            rgb = image.convert("RGB")
    except Exception as error:  # noqa: BLE001 - damage makes Pillow raise OSError, SyntaxError, struct.error, ...
        raise RobustcheckError(
            f"image {str(path)!r} cannot be decoded ({type(error).__name__}: {error}); repair it or take it out"
        ) from None
    if mode.startswith(("I", "F")):
        raise RobustcheckError(
            f"image {str(path)!r} has more than 8 bits a sample (Pillow's mode {mode!r}), which conversion would cut "
            "off; save it with 8 bits"
        )
    return fit(rgb, rule)


def fit(image: Image.Image, rule: Preprocessing) -> Pixels:
    """An RGB image resized and cropped by `rule`, as uint8 (3, H, W)."""
    size = [rule.resize] if isinstance(rule.resize, int) else list(rule.resize)
    way = transforms.InterpolationMode(rule.interpolation)
    picture = image if rule.antialias else transforms.pil_to_tensor(image)  # Pillow always antialiases
    resized = transforms.resize(picture, size, interpolation=way, antialias=rule.antialias)
    cropped = np.asarray(transforms.center_crop(resized, list(rule.input_size)))
    return np.ascontiguousarray(cropped.transpose(2, 0, 1) if rule.antialias else cropped)
