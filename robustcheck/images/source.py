"""Where the pixels of an image set come from, by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

    @classmethod
    def of_files(cls, folder: str, paths: Sequence[str], preprocessing: Preprocessing) -> Source:
        """Return the source of image files, by their paths from a folder."""
        return cls(partial(_decoded, folder, paths, preprocessing), is_on_disk=True)

    def at(self, positions: NDArray[np.int64]) -> Source:
        """Return the source of some of the images, under positions of their own."""
        return Source(partial(_chosen, self.read, positions), self.is_on_disk)


# Functions of the module, so that a source can be pickled.


def _decoded(folder: str, paths: Sequence[str], preprocessing: Preprocessing, position: int) -> Pixels:
    return decode(Path(folder, paths[position]), preprocessing)


def _chosen(read: Callable[[int], Pixels], positions: NDArray[np.int64], position: int) -> Pixels:
    return read(int(positions[position]))
