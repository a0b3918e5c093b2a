"""Where the pixels of an image set come from, by position."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robustcheck.images.decoding import Pixels


def image_id(pixels: Pixels) -> str:
    """16 hex digits over an image's pixels, which are contiguous."""
    return hashlib.blake2b(pixels.data, digest_size=8).hexdigest()


@runtime_checkable
class Source(Protocol):
    """Pixels with the id of each image; asked from several threads at once."""

    def load(self, position: int) -> tuple[Pixels, str]:
        """The image at a position and its id. The array may be read-only."""

    def id_of(self, position: int) -> str | None:
        """The id, where it is known without the pixels."""


@dataclass(frozen=True)
class Plain:
    """Pixels that a function gives; their ids are known once they are there."""

    read: Callable[[int], Pixels]

    def load(self, position: int) -> tuple[Pixels, str]:
        """The image at a position and its id."""
        pixels = self.read(position)
        return pixels, image_id(pixels)

    def id_of(self, position: int) -> None:
        """None: nothing is known without the pixels."""


@dataclass(frozen=True)
class Chosen:
    """Some of the images of another source, under positions of their own."""

    source: Source
    positions: NDArray[np.int64]

    def load(self, position: int) -> tuple[Pixels, str]:
        """The image at a position and its id."""
        return self.source.load(int(self.positions[position]))

    def id_of(self, position: int) -> str | None:
        """The id, where it is known without the pixels."""
        return self.source.id_of(int(self.positions[position]))
