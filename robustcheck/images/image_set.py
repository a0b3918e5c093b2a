"""A finite, ordered set of images at a classifier's input size."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from robustcheck.errors import RobustcheckError
from robustcheck.images.decoding import Pixels
from robustcheck.images.prefetch import map_ahead

NO_LABEL = -1
_BATCH_SIZE = 32
_MOST_WORKERS = 32


@dataclass(frozen=True)
class Batch:
    """Some images of a set, in the order asked for."""

    pixels: torch.Tensor  # uint8 (n, 3, H, W), RGB, 0..255
    labels: torch.Tensor  # int64 (n,), -1 where there is none
    ids: tuple[str, ...]
    indices: NDArray[np.int64]  # positions in the set
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


class ImageSet:
    """Images with labels, names and ids, decoded as they are needed.

    `read` gives the image at a position as uint8 (3, H, W); it is called from several threads at once and
    must give the same each time. Only ids are kept, so memory does not grow with the pixels.
    """

    def __init__(
        self,
        read: Callable[[int], Pixels],
        *,
        names: Sequence[str],
        name: str,
        labels: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.name = name
        self.class_names = None if class_names is None else tuple(class_names)
        self.labels = _as_labels(labels, len(self.names))
        self._read = read
        self._ids: list[str | None] = [None] * len(self.names)

    @classmethod
    def from_arrays(
        cls,
        pixels: torch.Tensor | NDArray[np.uint8],
        labels: ArrayLike | None = None,
        *,
        names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        name: str = "arrays",
    ) -> ImageSet:
        """A set of images that are in memory: uint8 (N, 3, H, W), RGB, 0..255, with a label each or none."""
        array = pixels.detach().cpu().numpy() if isinstance(pixels, torch.Tensor) else np.asarray(pixels)
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[1] != 3 or 0 in array.shape:
            raise RobustcheckError(
                f"pixels are {array.dtype} of shape {array.shape}; give uint8 (N, 3, H, W), RGB in 0..255, N >= 1"
            )
        if names is not None and len(names) != len(array):
            raise RobustcheckError(f"{len(names)} names were given for {len(array)} images; give one each")
        return cls(
            partial(_nth, array.copy()),
            names=[f"image {i}" for i in range(len(array))] if names is None else names,
            name=name,
            labels=labels,
            class_names=class_names,
        )

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches(_BATCH_SIZE)

    def __repr__(self) -> str:
        return f"<ImageSet {self.name}: {len(self)} images, {'labelled' if self.has_labels else 'without labels'}>"

    @property
    def has_labels(self) -> bool:
        """Whether every image has a label."""
        return bool((self.labels != NO_LABEL).all())

    @property
    def ids(self) -> tuple[str, ...]:
        """16 hex digits for each image, over its pixels; images that no pass has come by yet are decoded."""
        unseen = [position for position, known in enumerate(self._ids) if known is None]
        for _ in _in_threads(self._load, unseen, ahead=_BATCH_SIZE):
            pass
        return tuple(known for known in self._ids if known is not None)

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the ids and labels, in order."""
        digest = hashlib.blake2b("\n".join(self.ids).encode(), digest_size=8)
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def batches(self, size: int, order: ArrayLike | None = None) -> Iterator[Batch]:
        """Batches of `size` images (the last may be smaller), at the positions in `order` or all in set order.

        The next batch is decoded while the caller is busy with this one. Raises RobustcheckError for a
        position outside the set, and on the way for an image that cannot be decoded, or is not what it was
        in an earlier pass.
        """
        if size < 1:
            raise RobustcheckError(f"batch size is {size}; give at least 1")
        positions = np.arange(len(self)) if order is None else self._positions(order)
        return self._stream(positions, size)

    def subset(self, positions: ArrayLike) -> ImageSet:
        """The set of the images at `positions`, in that order."""
        chosen = self._positions(positions)
        subset = ImageSet(
            partial(_at, self._read, chosen),
            names=[self.names[i] for i in chosen],
            name=self.name,
            labels=self.labels[chosen],
            class_names=self.class_names,
        )
        subset._ids = [self._ids[i] for i in chosen]
        return subset

    def sample(self, count: int, *, seed: int = 0) -> ImageSet:
        """`count` images drawn at random without replacement, in set order; all if there are no more."""
        if count < 1:
            raise RobustcheckError(f"limit is {count}; give at least 1 image")
        if count >= len(self):
            return self
        return self.subset(np.sort(np.random.default_rng(seed).permutation(len(self))[:count]))

    def check_labels(self, class_count: int) -> None:
        """RobustcheckError naming images whose label is not among the classifier's 0..class_count - 1."""
        outside = np.flatnonzero(self.labels >= class_count)
        if len(outside):
            listed = ", ".join(f"{self.names[i]} has {self.labels[i]}" for i in outside[:3])
            raise RobustcheckError(
                f"{len(outside)} of {len(self)} labels of {self.name} are outside the classifier's {class_count} "
                f"classes, 0 to {class_count - 1}: {listed}{', ...' if len(outside) > 3 else ''}; the images and the "
                "classifier are of different tasks"
            )

    def _positions(self, order: ArrayLike) -> NDArray[np.int64]:
        positions = np.asarray(order)
        if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
            raise RobustcheckError(
                f"positions are {positions.dtype} of shape {positions.shape}; give one row of integers"
            )
        if positions.size and not 0 <= positions.min() <= positions.max() < len(self):
            raise RobustcheckError(
                f"positions go from {positions.min()} to {positions.max()}; there are 0 to {len(self) - 1}"
            )
        return positions.astype(np.int64)

    def _stream(self, positions: NDArray[np.int64], size: int) -> Iterator[Batch]:
        loaded = _in_threads(self._load, positions.tolist(), ahead=size)
        try:
            for start in range(0, len(positions), size):
                chosen = positions[start : start + size]
                pixels, ids = zip(*islice(loaded, len(chosen)), strict=True)
                yield Batch(
                    pixels=torch.from_numpy(np.stack(pixels)),
                    labels=torch.from_numpy(self.labels[chosen]),
                    ids=ids,
                    indices=chosen,
                    names=tuple(self.names[i] for i in chosen),
                )
        finally:
            loaded.close()

    def _load(self, position: int) -> tuple[Pixels, str]:
        pixels = self._read(position)
        digest = hashlib.blake2b(pixels.data, digest_size=8).hexdigest()
        if self._ids[position] not in (None, digest):
            raise RobustcheckError(
                f"image {self.names[position]!r} is not what it was when it was first read in this run"
            )
        self._ids[position] = digest
        return pixels, digest


def _in_threads(load: Callable[[int], tuple[Pixels, str]], positions: list[int], *, ahead: int) -> Any:
    workers = min(
        _MOST_WORKERS,
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )
    return map_ahead(load, positions, workers=workers, ahead=max(ahead, 2 * workers))


def _nth(array: NDArray[np.uint8], position: int) -> Pixels:
    return np.ascontiguousarray(array[position])


def _at(read: Callable[[int], Pixels], positions: NDArray[np.int64], position: int) -> Pixels:
    return read(int(positions[position]))


def _as_labels(labels: ArrayLike | None, count: int) -> NDArray[np.int64]:
    given = np.full(count, NO_LABEL) if labels is None else np.asarray(labels)
    if given.shape != (count,) or given.dtype.kind not in "iu":
        raise RobustcheckError(
            f"labels are {given.dtype} of shape {given.shape} for {count} images; give one integer each, -1 for none"
        )
    if (given < NO_LABEL).any():
        raise RobustcheckError(
            f"labels go down to {given.min()}; they are class indices from 0, or -1 for none"
        )
    kept = given.astype(np.int64)
    kept.flags.writeable = False
    return kept
