"""Whether the JPEG libraries that are installed give the pixels that the tensor codec gives."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from robustcheck.jpeg.registry import CODECS, implementation
from robustcheck.jpeg.tables import SUBSAMPLINGS
from robustcheck.user_code import warn

_QUALITIES = (20, 75, 95)


def check_image() -> NDArray[np.uint8]:
    """Draw a small image (37, 45, 3) of slopes, waves and an edge, the same everywhere: integers only."""
    y, x = np.mgrid[:37, :45]
    waves = (x * x * 3 + y * y * 5) % 97
    red = 4 * x + waves
    green = 5 * y + 2 * waves * (x > 20)
    blue = 255 - 3 * x - 2 * y + (x * y) % 23
    return np.stack((red, green, blue), -1).clip(0, 255).astype(np.uint8)


@cache
def differing_samples(module: str, codec: str) -> tuple[int, int]:
    """Count the samples of the check image in which a module differs from a codec, and all that were compared."""
    planes = torch.from_numpy(check_image()).permute(2, 0, 1)
    batch = planes.expand(len(_QUALITIES), *planes.shape)
    qualities = torch.tensor(_QUALITIES)
    first, second = implementation(module), implementation(CODECS[codec].module)
    differing = sum(
        int((first.roundtrip(batch, qualities, each) != second.roundtrip(batch, qualities, each)).sum())
        for each in SUBSAMPLINGS
    )
    return differing, batch.numel() * len(SUBSAMPLINGS)


@cache
def can_stand_in(module: str, codec: str) -> bool:
    """Whether a module gives the pixels of a codec; False, too, where it can't run here."""
    try:
        return differing_samples(module, codec)[0] == 0
    except (ImportError, OSError, RuntimeError, AttributeError):  # no torchvision, or one built without JPEG
        return False


def warm_up() -> None:
    """Load the libraries of the CPU codecs and check their pixels, so that the first call need not."""
    for name, row in CODECS.items():
        if row.is_tested:
            can_stand_in(row.module, "tensor")
            can_stand_in(row.faster or row.module, name)


@cache
def agrees_with_tensor(codec: str) -> bool:
    """Whether a codec gives the pixels of the tensor codec; warns where it doesn't."""
    differing, samples = differing_samples(CODECS[codec].module, "tensor")
    if differing:
        tested, reference = (implementation(CODECS[name].module) for name in (codec, "tensor"))
        warn(
            f"{tested.library()} and {reference.library()} disagree in {differing} of {samples} samples of a check "
            f"image, so the JPEG codecs {codec!r} and 'tensor' don't give the same pixels here. codec='auto' "
            "takes the tensor codec; install a build of it on libjpeg-turbo 2 or newer for its speed"
        )
    return differing == 0
