"""A finite, ordered set of images at a classifier's input size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from robustcheck.errors import RobustcheckError
from robustcheck.images.cached import Encoded
from robustcheck.images.decoding import BadImage, Pixels
from robustcheck.images.pixel_cache import PixelCache
from robustcheck.images.prefetch import in_threads
from robustcheck.images.remarks import listed, repeated, shortened
from robustcheck.images.source import Chosen, Plain, Source
from robustcheck.images.subset import some, some_of_each_class

NO_LABEL = -1
_BATCH_SIZE = 32
_CHUNK = 16
"""How many images a thread comes to know at a time: where a cache knows them, handing over would cost more."""
_LOOKED_AT = 10_000
"""How many images are looked at, when one is bad, to say which others are."""


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

    `read` gives the image at a position as uint8 (3, H, W), or is a `Source`; it is called from several
    threads at once and must give the same each time. Only ids are kept, so memory does not grow with the pixels.
    """

    def __init__(
        self,
        read: Callable[[int], Pixels] | Source,
        *,
        names: Sequence[str],
        name: str,
        labels: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        skipped: Sequence[str] = (),
    ) -> None:
        self.names = tuple(names)
        self.name = name
        self.class_names = None if class_names is None else tuple(class_names)
        self.labels = _as_labels(labels, len(self.names))
        self.notes = tuple(notes)
        """What a report adds of how the set came about."""
        self.skipped = tuple(skipped)
        """The images that were left out as bad, each with the reason."""
        self._source = read if isinstance(read, Source) else Plain(read)
        self._ids: list[str | None] = [None] * len(self.names)

    def through(self, cache: PixelCache) -> ImageSet:
        """The same images, out of a cache where they are in it; those that no file holds are left as they are."""
        return self._of(_through(cache, self._source), np.arange(len(self)))

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
        """16 hex digits for each image, over its pixels.

        Images that no pass has come by yet are decoded, unless a cache knows their ids.
        """
        unseen = [position for position, known in enumerate(self._ids) if known is None]
        try:
            for _ in in_threads(self._identify, _in_chunks(unseen), ahead=_BATCH_SIZE // _CHUNK):
                pass
        except BadImage as first:
            raise self._all_bad(first) from None
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

    def expect(self, positions: ArrayLike, ids: Sequence[str]) -> None:
        """Know the ids of images from another process, which decoded them.

        RobustcheckError where one is known to be another; reading such an image is an error from now on.
        """
        for position, its_id in zip(self._positions(positions).tolist(), ids, strict=True):
            if self._ids[position] not in (None, its_id):
                raise RobustcheckError(f"image {self.names[position]!r} is not what it is elsewhere")
            self._ids[position] = its_id

    def subset(self, positions: ArrayLike) -> ImageSet:
        """The set of the images at `positions`, in that order."""
        chosen = self._positions(positions)
        return self._of(Chosen(self._source, chosen), chosen)

    def _of(self, source: Source, chosen: NDArray[np.int64]) -> ImageSet:
        """The set of what a source gives, which are the images at the positions `chosen`."""
        made = ImageSet(
            source,
            names=[self.names[i] for i in chosen],
            name=self.name,
            labels=self.labels[chosen],
            class_names=self.class_names,
            notes=self.notes,
            skipped=self.skipped,
        )
        made._ids = [self._ids[i] for i in chosen]
        return made

    def with_labels(self, labels: ArrayLike, class_names: Sequence[str] | None = None) -> ImageSet:
        """The same images under other labels, such as those of a classifier's own numbering."""
        changed = self.subset(np.arange(len(self)))
        changed.class_names = None if class_names is None else tuple(class_names)
        changed.labels = _as_labels(labels, len(self))
        return changed

    def with_note(self, note: str) -> ImageSet:
        """The same images with one more thing to say in reports; an empty note says nothing."""
        changed = self.subset(np.arange(len(self)))
        changed.notes = (*self.notes, *filter(None, [note]))
        return changed

    def readable(self) -> ImageSet:
        """The set without the images that can't be read or decoded, which `skipped` and `describe` tell of.

        Decodes every image that no pass has come by yet. RobustcheckError where none is left.
        """
        bad = dict(self._bad(range(len(self))))
        if not bad:
            return self
        if len(bad) == len(self):
            raise RobustcheckError(
                f"none of the {len(self)} images of {self.name} can be read: {listed(bad.values())}"
            )
        kept = self.subset([position for position in range(len(self)) if position not in bad])
        kept.skipped = (*self.skipped, *(f"{error.name} {error.reason}" for error in bad.values()))
        return kept

    def describe(self, *, complete: bool) -> str:
        """The set in a line, for reports: its size, what was left out of it, how its classes were matched.

        Where all images were seen, `complete`, also its fingerprint and which images are there twice.
        """
        parts = [f"{self.name}, {len(self)} images"]
        if self.skipped:
            parts.append(f"{len(self.skipped)} bad ones skipped ({shortened(self.skipped, between='; ')})")
        parts += self.notes
        if complete:
            parts += [f"fingerprint {self.fingerprint}", *repeated(self.ids, self.names, self.labels)]
        return ", ".join(parts)

    def sample(self, count: int, *, seed: int = 0, stratified: bool = False) -> ImageSet:
        """`count` images drawn at random without replacement, in set order; all if there are no more.

        `stratified` gives each class its share of the whole set.
        """
        if count < 1:
            raise RobustcheckError(f"limit is {count}; give at least 1 image")
        if count >= len(self):
            return self
        if not stratified:
            return self.subset(some(len(self), count, seed))
        if not self.has_labels:
            raise RobustcheckError(
                f"--robustcheck-stratify takes a share of each class, and images of {self.name} have no labels: leave it "
                "out, or give a folder whose sub-folders are the classes"
            )
        return self.subset(some_of_each_class(self.labels, count, seed)).with_note("stratified")

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
            raise self._all_bad(first) from None
        finally:
            loaded.close()

    def _all_bad(self, first: BadImage) -> RobustcheckError:
        """The error for all bad images of the set, of which `first` was met first."""
        looked_at = range(min(len(self), _LOOKED_AT))
        bad = dict(self._bad(looked_at))
        bad.setdefault(first.position, first)
        if len(bad) == 1:
            return first
        among = (
            f"{len(self)}" if len(looked_at) == len(self) else f"the first {len(looked_at)} of {len(self)}"
        )
        return RobustcheckError(
            f"{len(bad)} of {among} images of {self.name} are bad: {listed(bad.values())}. Repair them or take them out, "
            "or leave such images out and have them counted: --robustcheck-bad-images=skip"
        )

    def _bad(self, positions: Sequence[int]) -> Iterator[tuple[int, BadImage]]:
        """Which images can't be read, and why; those that a pass has come by can."""
        unseen = [position for position in positions if self._ids[position] is None]
        for found in in_threads(self._errors_of, _in_chunks(unseen), ahead=_BATCH_SIZE // _CHUNK):
            yield from found

    def _errors_of(self, positions: Sequence[int]) -> list[tuple[int, BadImage]]:
        tried = [(position, self._error_of(position)) for position in positions]
        return [(position, error) for position, error in tried if error is not None]

    def _error_of(self, position: int) -> BadImage | None:
        try:
            self._identify([position])
        except BadImage as error:
            return BadImage(self.names[position], error.reason)
        return None

    def _identify(self, positions: Sequence[int]) -> None:
        """Come to know the ids of images, at best without their pixels."""
        for position in positions:
            known = None
            with suppress(BadImage):  # which loading says, with all there is to it
                known = self._source.id_of(position)
            if known is None:
                self._load(position)
            else:
                self._ids[position] = known

    def _load(self, position: int) -> tuple[Pixels, str]:
        try:
            pixels, its_id = self._source.load(position)
        except BadImage as error:
            error.position = position
            raise
        if self._ids[position] not in (None, its_id):
            raise RobustcheckError(
                f"image {self.names[position]!r} is not what it was when it was first read in this run"
            )
        self._ids[position] = its_id
        return pixels, its_id


def _nth(array: NDArray[np.uint8], position: int) -> Pixels:
    return np.ascontiguousarray(array[position])


def _in_chunks(positions: Sequence[int]) -> list[Sequence[int]]:
    return [positions[start : start + _CHUNK] for start in range(0, len(positions), _CHUNK)]


def _through(cache: PixelCache, source: Source) -> Source:
    if isinstance(source, Chosen):
        return Chosen(_through(cache, source.source), source.positions)
    if isinstance(source, Plain) and isinstance(source.read, Encoded):
        return cache.of(source.read)
    return source


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
