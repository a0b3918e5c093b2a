"""Whether the JPEG libraries that are installed give the pixels that the tensor codec gives."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustcheck.errors import RobustnessWarning
from robustcheck.jpeg.tables import SUBSAMPLINGS, quantiser_steps

_QUALITIES = (20, 75, 95)


def check_image() -> NDArray[np.uint8]:
    """A small image (37, 45, 3) of slopes, waves and an edge, the same everywhere: integers only."""
    y, x = np.mgrid[:37, :45]
    waves = (x * x * 3 + y * y * 5) % 97
    red = 4 * x + waves
    green = 5 * y + 2 * waves * (x > 20)
    blue = 255 - 3 * x - 2 * y + (x * y) % 23
    return np.stack((red, green, blue), -1).clip(0, 255).astype(np.uint8)


@cache
def torchvision_agrees() -> bool:
    """Whether torchvision.io reads and writes the check image just as Pillow does."""
    from robustcheck.jpeg.pillow import by_pillow, by_torchvision

    image = check_image()
    try:
        return all(
            np.array_equal(
                by_torchvision(image, quality, subsampling), by_pillow(image, quality, subsampling)
            )
            for quality in _QUALITIES
            for subsampling in SUBSAMPLINGS
        )
    except (ImportError, RuntimeError, AttributeError):  # no torchvision, or one built without JPEG
        return False


@cache
def pillow_agrees() -> bool:
    """Whether Pillow and the tensor codec take the check image to the same pixels; warns where they don't."""
    differing, samples = _differing()
    if differing:
        from robustcheck.jpeg.codec_info import pillow_library, tensor_library

        message = (
            f"{pillow_library()} and {tensor_library()} disagree in {differing} of {samples} samples of a check "
            "image, so the JPEG codecs 'pillow' and 'tensor' don't give the same pixels here. codec='auto' "
            "takes the tensor codec; install a Pillow built on libjpeg-turbo 2 or newer for its own speed"
        )
        warnings.warn(message, RobustnessWarning, stacklevel=4)
    return differing == 0


def _differing() -> tuple[int, int]:
    from robustcheck.jpeg import pillow, tensor

    image = check_image()
    planes = torch.from_numpy(image).permute(2, 0, 1)
    batch: Tensor = planes.expand(len(_QUALITIES), *planes.shape)
    steps = quantiser_steps(torch.tensor(_QUALITIES))
    differing = 0
    for subsampling in SUBSAMPLINGS:
        by_tensor = tensor.roundtrip(batch, steps, subsampling).permute(0, 2, 3, 1).numpy()
        for quality, pixels in zip(_QUALITIES, by_tensor, strict=True):
            differing += int((pillow.by_pillow(image, quality, subsampling) != pixels).sum())
    return differing, image.size * len(_QUALITIES) * len(SUBSAMPLINGS)
