"""Photographs of the repository and cuts of them, and random images."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

PHOTOGRAPHS = Path(__file__).parents[2] / "fixtures" / "images"


@lru_cache(maxsize=1)
def photographs() -> list[Tensor]:
    """Four photographs as uint8 (1, 3, H, W)."""
    files = sorted(PHOTOGRAPHS.glob("*/*.jpg"))
    arrays = [np.array(Image.open(file).convert("RGB")) for file in files]
    return [torch.from_numpy(array).permute(2, 0, 1)[None].contiguous() for array in arrays]


def cuts(count: int, side: int, start: int = 0) -> Tensor:
    """Square cuts of the photographs, uint8 (count, 3, side, side)."""
    sources, found = photographs(), []
    for index in range(start, start + count):
        photo = sources[index % len(sources)]
        top, left = (index * 7) % (photo.shape[2] - side), (index * 11) % (photo.shape[3] - side)
        found.append(photo[:, :, top : top + side, left : left + side])
    return torch.cat(found)


def noise(count: int, side: int, seed: int = 0) -> Tensor:
    """Random images, uint8 (count, 3, side, side)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
