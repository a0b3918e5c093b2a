"""Shards: runs of whole batches at fixed places in the order of an evaluation, each kept as one part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from robustcheck.models import Classifier

CPU_SHARD, CUDA_SHARD = 64, 512
"""About how many images are committed to the store at once: seconds of work."""
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
    def whole(cls, classifier: Classifier, count: int, batch_size: int, wanted: int | None = None) -> Shards:
        """Return shards of whole batches: of about as many images as are wanted, or by the classifier's default."""
        size = wanted or (CUDA_SHARD if classifier.device.type == "cuda" else _cpu_shard(classifier))
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


def _cpu_shard(classifier: Classifier) -> int:
    height, width = classifier.input_size
    return min(max(_CPU_PIXELS // (height * width), _LEAST_SHARD), CPU_SHARD)
