"""A finite, ordered set of images at a classifier's input size."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from robustcheck.errors import RobustcheckError
from robustcheck.images.decoding import BadImage, Pixels
from robustcheck.images.identity import duplicates, fingerprint, image_id
from robustcheck.images.prefetch import in_threads
from robustcheck.images.source import Source
from robustcheck.images.subset import Positions, as_positions, draw_stratified, draw_uniform
from robustcheck.records.provenance import Images
from robustcheck.text import listed, printable

NO_LABEL = -1
_BATCH_SIZE = 32
_MOST_CHECKED = 10_000
"""When an image is bad, so many are checked to name all bad ones."""
_MOST_NAMED = 10


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

    `read` returns the image at a position as uint8 (3, H, W), or is a `Source`; it is called from several
    threads at once and must return the same each time. Only ids are kept, so memory does not grow with the pixels.
    """

    def __init__(
        self,
        read: Callable[[int], Pixels] | Source,
        *,
        names: Sequence[str],
        name: str,
        labels: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.source: Source = read if isinstance(read, Source) else Source(read)
        self.names: tuple[str, ...] = tuple(names)
        self.name = name
        self.class_names: tuple[str, ...] | None = None if class_names is None else tuple(class_names)
        self.labels: NDArray[np.int64] = _as_labels(labels, len(self.names))
        self.notes: tuple[str, ...] = ()
        """What a report adds of how the set came about."""
        self.skipped: tuple[str, ...] = ()
        """The bad images that were skipped, each with the reason."""
        self.has_sorted_names: bool = False
        """Whether labels were given by name, and numbered in the names' sorted order, which need not be a classifier's."""
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
        """Return a set of images in memory: uint8 (N, 3, H, W), RGB, 0..255, with a label each or none."""
        array = pixels.detach().cpu().numpy() if isinstance(pixels, torch.Tensor) else np.asarray(pixels)
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[1] != 3 or 0 in array.shape:
            raise RobustcheckError(
                f"pixels must be uint8 (N, 3, H, W), N >= 1, got {array.dtype} of shape {array.shape}: give RGB in 0..255"
            )
        if names is not None and len(names) != len(array):
            raise RobustcheckError(f"names must be one for each of {len(array)} images, got {len(names)}")
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
        labelled = "labelled" if self.has_labels else "without labels"
        return printable(f"<ImageSet {self.name}: {len(self)} images, {labelled}>")

    @property
    def has_labels(self) -> bool:
        """Whether every image has a label."""
        return bool((self.labels != NO_LABEL).all())

    @property
    def ids(self) -> tuple[str, ...]:
        """16 hex digits for each image, over its pixels; images that no pass has read yet are decoded."""
        if (first := next(self._bad(range(len(self))), None)) is not None:
            raise self._bad_images_error(first)
        return tuple(known for known in self._ids if known is not None)

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the ids and labels, in order."""
        return fingerprint(self.ids, self.labels)

    def batches(self, size: int, order: ArrayLike | None = None) -> Iterator[Batch]:
        """Return batches of `size` images (the last may be smaller), at the positions in `order` or all in set order.

        The next batch is decoded while the caller is busy with this one. Raises RobustcheckError for a
        position outside the set, and on the way for an image that cannot be decoded or has changed since an
        earlier pass.
        """
        if size < 1:
            raise RobustcheckError(f"batch size must be >= 1, got {size}")
        positions = np.arange(len(self)) if order is None else as_positions(order, len(self))
        return self._stream(positions, size)

    def expect(self, positions: ArrayLike, ids: Sequence[str]) -> None:
        """Take over the ids of images that another process decoded.

        RobustcheckError where this process has seen another id; reading such an image raises from now on.
        """
        for position, other in zip(as_positions(positions, len(self)).tolist(), ids, strict=True):
            if self._ids[position] not in (None, other):
                raise RobustcheckError(
                    f"image {self.names[position]!r} differs from the one that another process read: give all the same files"
                )
            self._ids[position] = other

    def subset(self, positions: ArrayLike) -> ImageSet:
        """Return the set of the images at `positions`, in that order."""
        chosen = as_positions(positions, len(self))
        made = copy.copy(self)
        made.source = self.source.at(chosen)
        made.names = tuple(self.names[i] for i in chosen)
        made.labels = _as_labels(self.labels[chosen], len(chosen))
        made._ids = [self._ids[i] for i in chosen]  # noqa: SLF001 - of this class
        return made

    def with_labels(self, labels: ArrayLike, class_names: Sequence[str] | None = None) -> ImageSet:
        """Return the same images under other labels, such as those of a classifier's own numbering."""
        changed = copy.copy(self)
        changed.class_names = None if class_names is None else tuple(class_names)
        changed.has_sorted_names = False
        changed.labels = _as_labels(labels, len(self))
        return changed

    def with_note(self, note: str) -> ImageSet:
        """Return the same images with one more note for reports; an empty note adds nothing."""
        changed = copy.copy(self)
        changed.notes = (*self.notes, *({note} - {"", *self.notes}))
        return changed

    def readable(self) -> ImageSet:
        """Return the set without the images that can't be read or decoded; `skipped` and `provenance` report them.

        Decodes every image that no pass has read yet. RobustcheckError where none is left.
        """
        bad = {error.position: error for error in self._bad(range(len(self)))}
        if not bad:
            return self
        reasons = [f"{self.names[position]} {error.reason}" for position, error in bad.items()]
        if len(bad) == len(self):
            raise RobustcheckError(
                f"none of the {len(self)} images of {self.name} can be read: {listed(reasons, _MOST_NAMED, '; ')}"
            )
        kept = self.subset([position for position in range(len(self)) if position not in bad])
        kept.skipped = (*self.skipped, *reasons)
        return kept

    def provenance(self, *, complete: bool) -> Images:
        """Return what reports name the set by: its size, what was left out of it, how its classes were matched.

        If all images were seen, `complete`, also its fingerprint and its duplicate images.
        """
        skipped = f"{len(self.skipped)} bad ones skipped ({listed(self.skipped, between='; ')})"
        notes = (*([skipped] if self.skipped else []), *self.notes)
        if not complete:
            return Images(self.name, len(self), notes)
        repeated = ", ".join(duplicates(self.ids, self.names, self.labels))
        return Images(self.name, len(self), notes, self.fingerprint, repeated)

    def sample(self, count: int, *, seed: int = 0, stratified: bool = False) -> ImageSet:
        """Return `count` images drawn at random without replacement, in set order; all if there are no more.

        `stratified` draws from each class its share of the whole set.
        """
        if count < 1:
            raise RobustcheckError(f"limit must be >= 1 image, got {count}")
        if count >= len(self):
            return self
        if not stratified:
            return self.subset(draw_uniform(len(self), count, seed))
        if not self.has_labels:
            raise RobustcheckError(
                f"--robustcheck-stratify needs a label for every image, and images of {self.name} have none: leave it "
                "out, or give a folder whose sub-folders are the classes"
            )
        return self.subset(draw_stratified(self.labels, count, seed)).with_note("stratified")

    def check_labels(self, class_count: int) -> None:
        """Raise RobustcheckError naming images whose label is not among the classifier's 0..class_count - 1."""
        outside = np.flatnonzero(self.labels >= class_count)
        if len(outside):
            named = listed((f"{self.names[i]} has {self.labels[i]}" for i in outside), 3)
            raise RobustcheckError(
                f"labels of {self.name} must be among the classifier's {class_count} classes, 0 to {class_count - 1}, got "
                f"{len(outside)} of {len(self)} outside: {named}; the images and the classifier are of different tasks"
            )

    def _stream(self, positions: Positions, size: int) -> Iterator[Batch]:
        loaded = in_threads(self._load, positions.tolist(), ahead=size)
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
        except BadImage as first:
            raise self._bad_images_error(first) from None
        finally:
            loaded.close()

    def _load(self, position: int) -> tuple[Pixels, str]:
        try:
            pixels = self.source.read(position)
        except BadImage as error:
            error.position = position
            raise
        own = image_id(pixels)
        if self._ids[position] not in (None, own):
            raise RobustcheckError(
                f"image {self.names[position]!r} has changed since it was first read in this run: run again"
            )
        self._ids[position] = own
        return pixels, own

    def _error_of(self, position: int) -> BadImage | None:
        try:
            self._load(position)
        except BadImage as error:
            return error
        return None

    def _bad(self, positions: Sequence[int]) -> Iterator[BadImage]:
        """Yield the errors of images that can't be read; those that a pass has read are not read again."""
        unseen = [position for position in positions if self._ids[position] is None]
        yield from filter(None, in_threads(self._error_of, unseen, ahead=_BATCH_SIZE))

    def _bad_images_error(self, first: BadImage) -> RobustcheckError:
        """Return the error for all bad images of the set, of which `first` was found first."""
        checked = min(len(self), _MOST_CHECKED)
        bad = {error.position: error for error in (*self._bad(range(checked)), first)}
        if len(bad) == 1:
            return first
        among = f"{len(self)}" if checked == len(self) else f"the first {checked} of {len(self)}"
        reasons = (f"{self.names[position]} {error.reason}" for position, error in bad.items())
        return RobustcheckError(
            f"{len(bad)} of {among} images of {self.name} are bad: {listed(reasons, _MOST_NAMED, '; ')}. Repair or remove "
            "them, or skip and count them: --robustcheck-bad-images=skip"
        )


def _nth(array: NDArray[np.uint8], position: int) -> Pixels:
    return np.ascontiguousarray(array[position])


def _as_labels(labels: ArrayLike | None, count: int) -> NDArray[np.int64]:
    given = np.full(count, NO_LABEL) if labels is None else np.asarray(labels)
    if given.shape != (count,) or given.dtype.kind not in "iu":
        raise RobustcheckError(
            f"labels must be one integer for each of {count} images, -1 for none, got {given.dtype} of shape {given.shape}"
            f"{_advice(given, count)}"
        )
    wrong = given[(given < NO_LABEL) | (given > np.iinfo(np.int64).max)]
    if len(wrong):
        raise RobustcheckError(
            f"labels must be class indices from 0, or -1 for none, got {wrong[0]}: number the classes from 0"
        )
    kept = given.astype(np.int64)
    kept.flags.writeable = False
    return kept


def _advice(labels: NDArray[np.generic], count: int) -> str:
    """Return what makes class indices of labels that are none."""
    if labels.dtype == bool and labels.shape == (count,):
        return ": give int(label) for each, with True as class 1"
    if labels.ndim == 2 and len(labels) == count:
        return ": of one-hot labels give labels.argmax(1)" if labels.shape[1] > 1 else ": give labels[:, 0]"
    if labels.dtype.kind in "USOT":
        return ": number the classes from 0, and give -1 for None"
    return ": give int(label) for each" if labels.dtype.kind == "f" and labels.shape == (count,) else ""
