"""Pictures to code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data


@pytest.fixture(scope="session")
def photograph():
    """A function: the named photograph of scikit-image, cut to height x width, as (1, 3, height, width)."""

    def cut(name, height, width, top=40, left=60):
        pixels = getattr(data, name)()[top : top + height, left : left + width]
        assert pixels.shape[:2] == (height, width)
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].contiguous()

    return cut


def _noise(height, width):
    return np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3))


def _flat(height, width):
    return np.broadcast_to([13, 200, 77], (height, width, 3))


def _saturated(height, width):
    return 255 * np.random.default_rng(height * 100 + width).integers(0, 2, (height, width, 3))


def _checkerboard(height, width):
    y, x = np.mgrid[:height, :width]
    return np.where(((x + y) % 2)[..., None], [255, 0, 90], [0, 255, 160])


def _slope(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack((3 * x, 255 - 2 * y, x + y), -1) % 256


PICTURES = {
    "noise": _noise,
    "flat": _flat,
    "saturated": _saturated,
    "checkerboard": _checkerboard,
    "slope": _slope,
}


@pytest.fixture(scope="session")
def picture():
    """A function: the named drawn picture as (1, 3, height, width)."""

    def draw(kind, height, width):
        pixels = np.array(PICTURES[kind](height, width), dtype=np.uint8)
        return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()

    return draw
