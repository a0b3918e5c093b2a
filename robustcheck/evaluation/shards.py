"""Shards, runs of whole batches at fixed places in the order of an evaluation: what to measure of them, and the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from robustcheck.images import Batch
from robustcheck.models import Classifier
from robustcheck.notation import View
from robustcheck.records import Rows

CPU_SHARD, CUDA_SHARD = 64, 512
"""About how many images are committed to the record store at once: seconds of work."""
_LEAST_SHARD, _CPU_PIXELS = 16, 800_000
"""On a CPU large images take longer: a shard has fewer of them, as many as have so many pixels together."""


@dataclass(frozen=True)
class Shard:
    """The images `start` to `stop` of an evaluation's order."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Shards:
    """How the order of `count` images is cut: into shards of `size`, the last of which may be shorter."""

    count: int
    size: int

    @classmethod
    def whole(cls, classifier: Classifier, count: int, batch_size: int, size: int | None = None) -> Shards:
        """Return shards of whole batches, of about `size` images; None is the default for the classifier."""
        size = size or (CUDA_SHARD if classifier.device.type == "cuda" else _cpu_shard(classifier))
        return cls(count, -(-size // batch_size) * batch_size)

    def at(self, position: int) -> Shard:
        """Return the shard that an image of the order is in."""
        start = position // self.size * self.size
        return Shard(start, min(start + self.size, self.count))

    def between(self, start: int, stop: int) -> Iterator[Shard]:
        """Yield the shards that have any of the images from `start` to `stop` of the order."""
        while start < min(stop, self.count):
            shard = self.at(start)
            yield shard
            start = shard.stop


@dataclass(frozen=True)
class ShardTask:
    """Views to be measured on the images of one shard."""

    shard: Shard
    missing: Mapping[View, int]
    """By view, the position in the order from which on its records are missing."""
    stop: int
    """The position up to which they are needed: the end of the shard, or before."""
    batches: Sequence[Batch] = ()
    """The images from `start` to `stop`, where they have been read already."""

    @property
    def views(self) -> tuple[View, ...]:
        """The views to be measured."""
        return tuple(self.missing)

    @property
    def start(self) -> int:
        """The position from which on records are needed."""
        return min(self.missing.values())

    def batches_between(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield those of `batches` that begin between two positions; they are up to `self.stop`."""
        position = self.stop - sum(map(len, self.batches))
        for batch in self.batches:
            if start <= position < stop:
                yield batch
            position += len(batch)

    def ranges(self) -> Iterator[tuple[int, int, tuple[View, ...]]]:
        """Yield from where to where which views are to be measured, in order."""
        stops = sorted({*self.missing.values(), self.stop})
        for start, stop in pairwise(stops):
            yield start, stop, tuple(view for view, missing in self.missing.items() if missing <= start)


@dataclass(frozen=True)
class Place:
    """Where records are computed."""

    host: str
    device: str
    """As in provenance: `cpu (2 threads)`."""
    precision: str
    """As in provenance."""
    kind: str
    """The kind of device, as in the keys of the record store: `cpu, AVX2`."""


@dataclass(frozen=True)
class ShardRecords:
    """What was measured of some consecutive images of one shard."""

    start: int
    """The position of the first image in the order."""
    ids: tuple[str, ...]
    """The hashes of the images' pixels."""
    columns: Mapping[View, Rows]
    """By view, the rows of the table, one per image of `ids`."""
    is_stored: bool = False
    """Whether the record store has them already."""
    first_batch_warnings: tuple[str, ...] = ()
    """What the first batch of all shows to be wrong with the model."""
    warnings: tuple[str, ...] = ()
    place: Place | None = None
    """Where they were computed, if not in this process."""

    @property
    def stop(self) -> int:
        """The position after that of the last image."""
        return self.start + len(self.ids)


def _cpu_shard(classifier: Classifier) -> int:
    height, width = classifier.input_size
    return min(max(_CPU_PIXELS // (height * width), _LEAST_SHARD), CPU_SHARD)
