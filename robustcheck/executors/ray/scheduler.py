"""Which chunks of shards are to be given to workers, and what has come back of them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.executor import Workload
from robustcheck.evaluation.shards import Shard, ShardRecords, ShardTask
from robustcheck.executors.ray.actor import ChunkResult
from robustcheck.notation import View

CHUNKS = 4
"""Into so many chunks a shard is cut, if it has as many batches, so that all workers end at about the same time."""


class ShardScheduler:
    """The shards of one evaluation that were given to workers; each is committed once, when all its chunks have come.

    A shard is cut into `chunks` at the borders of batches. `upcoming` is what is given out next.
    """

    def __init__(self, work: Workload, *, chunks: int) -> None:
        self.work = work
        self.upcoming: Iterator[ShardTask] = iter(())
        self.failures: Counter[int] = Counter()
        """How many workers died while they computed a chunk, by its start."""
        self._chunks = chunks
        self._views: dict[int, tuple[View, ...]] = {}
        """By the start of a shard that was given out, the views that are measured on it."""
        self._results: dict[int, dict[int, ChunkResult]] = {}
        """By the start of a shard and of its chunk; of a complete shard there is one."""
        self._waiting: deque[Shard] = deque()

    def request(self, shard: Shard, views: tuple[View, ...]) -> None:
        """Have a shard given out, unless it has been."""
        if shard.start not in self._views:
            self._views[shard.start] = views
            self._waiting.extend(self._cut(shard))

    def next_chunk(self) -> Shard | None:
        """Return the chunk that is to be given out next; None if there is none."""
        while not self._waiting and (task := next(self.upcoming, None)):
            if missing := self.work.checkpoint.missing_views(task.views, task.shard):
                self.request(task.shard, missing)
        return self._waiting.popleft() if self._waiting else None

    def put_back(self, chunks: Sequence[Shard]) -> None:
        """Have some chunks given out again, before others."""
        self._waiting.extendleft(reversed(chunks))

    def has(self, shard: Shard) -> bool:
        """Return whether a shard was given out, and not taken yet."""
        return shard.start in self._views

    def views_of(self, chunk: Shard) -> tuple[View, ...]:
        """Return the views that are measured on a chunk."""
        return self._views[self.work.shards.at(chunk.start).start]

    def add(self, chunk: Shard, result: ChunkResult) -> None:
        """Take a chunk's result, and commit the shard that it completes.

        Raises `RobustcheckError` if the worker measured other images than are here.
        """
        shard = self.work.shards.at(chunk.start)
        results = self._results.setdefault(shard.start, {})
        results[chunk.start] = result
        if self.is_complete(shard):
            joined = _joined([results[start] for start in sorted(results)])
            self._results[shard.start] = {shard.start: joined}
            self._commit(shard, joined.records)

    def is_complete(self, shard: Shard) -> bool:
        """Return whether all chunks of a shard have come."""
        results = self._results.get(shard.start, {}).values()
        return sum(len(result.records.ids) for result in results) == len(shard)

    def take(self, shard: Shard, *, visible_within: float) -> list[ShardRecords]:
        """Return the records of a complete shard, and forget it.

        Those that the worker wrote to the record store are read; raises `RobustcheckError` if they can't be seen
        there within so many seconds.
        """
        del self._views[shard.start]
        (result,) = self._results.pop(shard.start).values()
        self._await_stored(result, shard, visible_within)
        return [result.records, *self.work.checkpoint.read(result.stored, shard, result.records.ids)]

    def _cut(self, shard: Shard) -> Iterator[Shard]:
        batch = self.work.runner.batch_size
        size = -(-self.work.shards.size // (self._chunks * batch)) * batch
        for start in range(shard.start, shard.stop, size):
            yield Shard(start, min(start + size, shard.stop))

    def _commit(self, shard: Shard, records: ShardRecords) -> None:
        checkpoint, place = self.work.checkpoint, records.place
        rows = self.work.order[shard.start : shard.stop]
        try:
            self.work.images.expect(rows, records.ids)
            next(self.work.images.batches(1, rows[:1]))
        except RobustcheckError as error:
            raise RobustcheckError(
                f"{error}. The worker on {place and place.host} read other pixels than are here: see that the same files "
                "are under the same paths there, and the same Pillow, or send it the images "
                "(--robustcheck-worker-options=images:pixels)"
            ) from None
        if checkpoint.store is not None and place is not None and place.kind == checkpoint.facts["device"]:
            checkpoint.keep(records)

    def _await_stored(self, result: ChunkResult, shard: Shard, visible_within: float) -> None:
        ends = time.monotonic() + visible_within
        while missing := self.work.checkpoint.missing_views(result.stored, shard):
            if time.monotonic() > ends:
                place, store = result.records.place, self.work.checkpoint.store
                raise RobustcheckError(
                    f"the worker on {place and place.host} wrote {missing[0]} and others to the record store "
                    f"{store and store.folder.resolve()}, where they are not seen from here: name a folder that all "
                    "machines share (--robustcheck-store=DIR), or have records sent "
                    "(--robustcheck-worker-options=records:sent)"
                )
            time.sleep(0.2)


def _joined(results: Sequence[ChunkResult]) -> ChunkResult:
    """Return one result of those of a shard's chunks, which are in order."""
    if len(results) == 1:
        return results[0]
    parts = [result.records for result in results]
    first = parts[0]
    kinds = {part.place.kind for part in parts if part.place}
    records = replace(
        first,
        ids=tuple(image_id for part in parts for image_id in part.ids),
        columns={view: np.concatenate([part.columns[view] for part in parts]) for view in first.columns},
        warnings=tuple(dict.fromkeys(text for part in parts for text in part.warnings)),
        place=first.place and replace(first.place, kind="; ".join(sorted(kinds))),
    )
    return ChunkResult(records)
