"""Who computes the records of an evaluation: the protocol, what is handed over, and the executor in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from robustcheck.evaluation.checkpoint import RecordCheckpoint
from robustcheck.evaluation.plan import make_plan
from robustcheck.evaluation.runner import BatchRunner
from robustcheck.evaluation.shards import Place, Shard, ShardRecords, Shards, ShardTask
from robustcheck.evaluation.table import Table
from robustcheck.images import Batch, ImageSet
from robustcheck.notation import View, X

_SHARDS_AHEAD = 16
"""The record store is searched for so many shards before images are read, so that reading does not pause between them."""


@dataclass(frozen=True, eq=False)
class Workload:
    """One evaluation as an executor sees it: what to compute, how to do it in this process, and where records are kept."""

    runner: BatchRunner
    """The classifier and how it runs: `runner.classifier`, `runner.config`."""
    images: ImageSet
    order: npt.NDArray[np.int64]
    shards: Shards
    checkpoint: RecordCheckpoint
    """The evaluation's records in the record store."""
    known_top_labels: Callable[[Batch], Tensor]
    """Return l_x, int64 (n,), of images whose records of the clean view have been yielded."""

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """Read the images between two positions of the order."""
        return self.images.batches(self.runner.batch_size, self.order[start:stop])

    def load(self, task: ShardTask) -> tuple[list[ShardRecords], ShardTask | None]:
        """Return the records of a task that the record store has, and what is left to compute of it.

        The images are read only where the store has anything of the shard.
        """
        if not self.checkpoint.blocks(task.shard):
            return [], task
        batches = task.batches or [*self.batches(task.start, task.stop)]
        return self.checkpoint.load(replace(task, batches=batches))

    def compute(self, shard: Shard, views: Iterable[View]) -> ShardRecords:
        """Measure the clean images and some views on a whole shard, in this process."""
        plan, diagnostics = make_plan((X, *views)), self.runner.diagnostics
        table = Table(np.arange(len(shard)))
        table.add(plan.views)
        is_first, done = shard.start == 0, 0
        batches = self.batches(shard.start, shard.stop)
        with self.runner.classifier.evaluating():
            for batch, columns in self.runner.measure(plan, batches, diagnose=is_first):
                table.put(done, batch.ids, columns)
                done += len(batch)
        return ShardRecords(
            shard.start,
            tuple(table.ids),
            {view: table.columns(view) for view in plan.views},
            first_batch_warnings=tuple(diagnostics.of_first_batch),
        )


class Executor(Protocol):
    """Computes shards for evaluations; one serves all evaluations of a run, one after the other.

    What an implementation must guarantee:

    - `run` yields records of every task from `task.start` to `task.stop` under `task.views`, in any order and in
      pieces of any size within a shard. They may hold more: the rest of the shard, the clean images.
    - Each record is yielded once, and is to the bit what `Workload.compute` gives for its shard.
    - Before computing a task it loads what the record store has of it (`Workload.load`), and yields that, too.
    - Records that it yields with `is_stored` are in the store already, or must not go there. The engine commits the
      others at the end of each shard, and when the run ends in any way.
    - Shards of `ahead` may be computed meanwhile, and yielded at any time; the engine keeps those until they are asked
      for. They are not repeated when they come up as a task.
    - An exception in `run` is an error of what was asked for; what was computed before has been yielded or committed.
    - `run` may be abandoned between two records (`GeneratorExit`) and called again, with other tasks.
    """

    def prepare(self, work: Workload) -> Place | None:
        """Return where records will be computed; None for this process, or for others on the same device.

        It is called before the record store is read, since the kind of device is part of its keys.
        Raises `RobustcheckError` where nothing can be computed.
        """

    def run(
        self, work: Workload, tasks: Iterable[ShardTask], ahead: Iterable[ShardTask]
    ) -> Generator[ShardRecords, None, None]:
        """Yield the records of some tasks, whose shards are in order.

        `ahead` are shards that are likely to be asked for next. Both are made as they are drawn, and may be many.
        Raises `RobustcheckError` for what goes wrong and can't be helped.
        """

    def cancel_pending(self) -> None:
        """Begin nothing more until `run` is called again: what was asked for is decided."""

    def close(self) -> None:
        """Release everything at the end of the run; what is in progress is committed or dropped."""


class LocalExecutor:
    """Computes in this process, batch by batch; batches stream across the borders of shards."""

    def prepare(self, _work: Workload) -> None:
        """Return None: records are computed here."""

    def run(
        self, work: Workload, tasks: Iterable[ShardTask], _ahead: Iterable[ShardTask]
    ) -> Generator[ShardRecords, None, None]:
        """Yield records as they come from the store, and batch by batch as they are computed."""
        for group in _groups(work, tasks):
            left = []
            for task in group:
                loaded, rest = work.load(task)
                yield from loaded
                left += [] if rest is None else [rest]
            for start, stop, views in _joined_ranges(left):
                batches = (
                    left[0].batches_between(start, stop) if left[0].batches else work.batches(start, stop)
                )
                yield from _measured(work, start, views, batches)

    def cancel_pending(self) -> None:
        """Do nothing: nothing is computed but what is asked for."""

    def close(self) -> None:
        """Do nothing: nothing is held."""


def _groups(work: Workload, tasks: Iterable[ShardTask]) -> Iterator[list[ShardTask]]:
    """Yield tasks of which the store has nothing together, some shards at a time, and each of the others alone."""
    group: list[ShardTask] = []
    for task in tasks:
        is_in_store = bool(work.checkpoint.blocks(task.shard))
        if group and (is_in_store or len(group) == _SHARDS_AHEAD):
            yield group
            group = []
        if is_in_store:
            yield [task]
        else:
            group.append(task)
    if group:
        yield group


def _joined_ranges(tasks: Iterable[ShardTask]) -> list[tuple[int, int, tuple[View, ...]]]:
    """Return the ranges of some tasks, those joined that follow each other and have the same views."""
    joined: list[tuple[int, int, tuple[View, ...]]] = []
    for task in tasks:
        for start, stop, views in task.ranges():
            if joined and joined[-1][1:] == (start, views):
                start = joined.pop()[0]  # noqa: PLW2901 - it begins there now
            joined.append((start, stop, views))
    return joined


def _measured(
    work: Workload, start: int, views: tuple[View, ...], batches: Iterable[Batch]
) -> Iterator[ShardRecords]:
    plan = make_plan(views)
    top_labels = None if X in views else work.known_top_labels
    for batch, columns in work.runner.measure(plan, batches, top_labels):
        yield ShardRecords(start, batch.ids, columns)
        start += len(batch)
