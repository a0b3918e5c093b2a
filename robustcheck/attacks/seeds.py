"""Seeds: every image has its own, so that a view of an image is a fixed image whatever batch it is in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def image_seeds(seed: int, ids: Sequence[str], view: str) -> list[int]:
    """Return one seed per image: a hash of the run's seed, the image's id and the view."""
    return [_hashed(f"{seed}\n{image}\n{view}") for image in ids]


def mixed_seeds(seeds: Sequence[int], draw: int) -> list[int]:
    """Return other seeds for each draw of what is random."""
    return [_hashed(f"{seed}\n{draw}") for seed in seeds]


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
