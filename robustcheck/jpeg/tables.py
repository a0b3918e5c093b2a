"""The constants of baseline JPEG as libjpeg-turbo computes it: quantiser steps, DCT matrix, subsamplings."""

from __future__ import annotations

import torch
from torch import Tensor

from robustcheck.errors import unknown

# ITU-T T.81, Annex K, tables K.1 and K.2, in raster order.
_LUMA_BASE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_BASE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)

# The one-dimensional DCT of jfdctint.c as a matrix, 8192 * sqrt(8) times the orthonormal one. The near-twins
# (2259 and 2261, 11362 and 11363, ...) are what its factors multiply out to, not slips.
DCT_MATRIX = (
    (8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363),
    (10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703),
    (9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633),
    (8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437),
    (4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433),
    (2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260),
)

# What JPEG files hold at most, by the limit that libjpeg sets.
LARGEST_SIDE = 65500

# How many pixels across and down share one chroma sample.
SUBSAMPLINGS = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}


def chroma_factors(subsampling: str) -> tuple[int, int]:
    """How many pixels across and down share one chroma sample; an error for a name that isn't known.

    >>> chroma_factors("4:2:2")
    (2, 1)
    """
    if not isinstance(subsampling, str):
        raise TypeError(
            f"subsampling must be a string, got {type(subsampling).__name__}: one of {', '.join(SUBSAMPLINGS)}"
        )
    if subsampling not in SUBSAMPLINGS:
        raise unknown("subsampling", subsampling, SUBSAMPLINGS)
    return SUBSAMPLINGS[subsampling]


def quantiser_steps(qualities: Tensor) -> Tensor:
    """The steps for luma and chroma at each of `qualities` (N,), 1..100: int32 (N, 2, 8, 8), each 1..255.

    This is libjpeg's scaling of the Annex K tables, with the baseline limit of 255.

    >>> quantiser_steps(torch.tensor([75]))[0, 0, 0].tolist()
    [8, 6, 5, 8, 12, 20, 26, 31]
    """
    quality = qualities.to("cpu", torch.int32).view(-1, 1, 1, 1)
    scale = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    base = torch.tensor((_LUMA_BASE, _CHROMA_BASE), dtype=torch.int32, device="cpu")
    return ((base * scale + 50) // 100).clamp_(1, 255)


def reciprocals(steps: Tensor) -> Tensor:
    """For each step t the float32 factor by which a DCT output of up to 2^14 divides to round(c / 8t) exactly.

    The DCT's output is eight times the coefficient. The factor is a little above 1 / 8t, so that a half,
    which libjpeg rounds away from zero, comes out above the half, and nothing else crosses one.
    """
    return ((1 + 2**-17) / (8 * steps.to("cpu", torch.float64))).to(torch.float32)
