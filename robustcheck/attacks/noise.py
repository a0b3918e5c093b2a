"""Noise of an attack's or a codec's size: the controls that tell structure from size.

Every image has a seed of its own, so that a view of an image is a fixed image whatever batch it is in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from robustcheck.attacks.pixel_levels import add_signs
from robustcheck.models import send


def image_seeds(seed: int, ids: Sequence[str], view: str) -> list[int]:
    """Return one seed per image: a hash of the run's seed, the image's id and the view."""
    return [_hashed(f"{seed}\n{image}\n{view}") for image in ids]


def mixed_seeds(seeds: Sequence[int], draw: int) -> list[int]:
    """Return other seeds for each draw of what is random."""
    return [_hashed(f"{seed}\n{draw}") for seed in seeds]


def random_signs(images: Tensor, *, epsilon: float, seeds: Sequence[int]) -> Tensor:
    """Return `images` (uint8 (N, 3, H, W)) with each sample moved up or down by epsilon levels at random."""
    return add_signs(images, signs_like(images, seeds), epsilon)


def signs_like(images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return random signs (-1, 1) of the shape of `images` and on its device, each row from its own seed: int8."""
    size = images[0].numel() if len(images) else 0
    bits = [np.unpackbits(_bytes(seed, -(-size // 8)), count=size) for seed in seeds]
    signs = torch.from_numpy(np.array(bits, dtype=np.int8).reshape(images.shape)) * 2 - 1
    return send(signs, images.device)


def permuted_noise(images: Tensor, changed: Tensor, *, seeds: Sequence[int]) -> Tensor:
    """Return `images` plus the entries of `changed - images` in random order: JPG_noise of arXiv 1608.00853.

    Both are uint8 (N, 3, H, W). The noise has exactly the sizes of the change, at other places, in any
    channel; it is cut where it leaves 0..255.
    """
    change = (changed.to(torch.int16) - images.to(torch.int16)).flatten(1)
    for row, seed in zip(change, seeds, strict=True):
        order = torch.randperm(len(row), generator=torch.Generator().manual_seed(seed % 2**63))
        row.copy_(row[send(order, row.device)])
    return (images + change.view_as(images)).clamp_(0, 255).to(torch.uint8)


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _bytes(seed: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(np.random.Generator(np.random.Philox(seed)).bytes(count), dtype=np.uint8)
