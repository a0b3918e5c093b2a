"""Where the pixels of an image set come from, by position."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustcheck.images.decoding import Pixels, decode
from robustcheck.models.preprocessing import Preprocessing


@dataclass(frozen=True)
class Source:
    """A function from a position to pixels, uint8 (3, H, W); called from several threads at once."""

    read: Callable[[int], Pixels]
    is_on_disk: bool = False
    """Whether another process on a machine with the same files can read the images by itself."""
    is_resized: bool = False
    """Whether images are brought to the input size, rather than given at it."""

    @classmethod
    def of_files(cls, folder: str, paths: Sequence[str], preprocessing: Preprocessing) -> Source:
        """Return the source of image files, by their paths from a folder; it stays the same if the process changes its own."""
        start = os.path.abspath(folder)  # noqa: PTH100 - resolve() would follow links
        return cls(partial(_decoded, folder, start, paths, preprocessing), is_on_disk=True, is_resized=True)

    def preparation(self, preprocessing: Preprocessing) -> str:
        """Return what was done to the images for a classifier, for reports: its rule, or nothing where they were given so."""
        if self.is_resized:
            return preprocessing.describe()
        height, width = preprocessing.input_size
        return f"as given ({height}x{width}), {preprocessing.normalisation}"

    def at(self, positions: NDArray[np.int64]) -> Source:
        """Return the source of some of the images, under positions of their own."""
        return replace(self, read=partial(_chosen, self.read, positions))


# Functions of the module, so that a source can be pickled.


def _decoded(
    shown: str, folder: str, paths: Sequence[str], preprocessing: Preprocessing, position: int
) -> Pixels:
    path = paths[position]
    return decode(Path(folder, path), preprocessing, str(Path(shown, path)))


def _chosen(read: Callable[[int], Pixels], positions: NDArray[np.int64], position: int) -> Pixels:
    return read(int(positions[position]))
