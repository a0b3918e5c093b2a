"""Images are known by their pixels: ids, the fingerprint of a set, duplicates in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robustcheck.images.decoding import Pixels
from robustcheck.text import listed


def image_id(pixels: Pixels) -> str:
    """Return 16 hex digits over an image's pixels, which are contiguous."""
    return hashlib.blake2b(pixels.data, digest_size=8).hexdigest()


def fingerprint(ids: Sequence[str], labels: NDArray[np.int64]) -> str:
    """Return 16 hex digits over the ids and labels of a set, in order."""
    digest = hashlib.blake2b("\n".join(ids).encode(), digest_size=8)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def duplicates(ids: Sequence[str], names: Sequence[str], labels: NDArray[np.int64]) -> list[str]:
    """Return how many images have the pixels of one before them, with some of them; nothing where none has."""
    first: dict[str, int] = {}
    pairs = [(first.setdefault(each, position), position) for position, each in enumerate(ids)]
    pairs = [(original, position) for original, position in pairs if original != position]
    if not pairs:
        return []
    contrary = sum(bool(labels[one] != labels[other]) for one, other in pairs)
    under = f", {contrary} of them under another label" if contrary else ""
    some = listed(f"{names[one]} = {names[other]}" for one, other in pairs)
    return [f"{len(pairs)} duplicate image{'s' * (len(pairs) > 1)}{under} ({some})"]
