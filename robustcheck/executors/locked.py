"""Several processes that evaluate the same: each computes shards that no other does, and loads the others'.

A process holds a lock on the shard that it computes, a file in a folder that all of them know, and commits its records
to the store that they share before releasing it. The locks are the operating system's, so those of a process that dies
are released, and its shard is computed by another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from filelock import FileLock, Timeout

from robustcheck.evaluation.executor import LocalExecutor, Workload
from robustcheck.evaluation.shards import ShardRecords, ShardTask
from robustcheck.notation import View

_PATIENCE = 0.2
"""Seconds to wait for one shard before looking whether another has become free."""


class LockedExecutor:
    """One process' part in the work of several; see `robustcheck.evaluation.executor.Executor`."""

    def __init__(self, folder: Path, *, ahead: int) -> None:
        """`folder` is where locks are, the same for all; at most `ahead` shards are computed before they are asked for."""
        self.folder: Path = folder
        self.ahead: int = ahead
        self._local = LocalExecutor()
        self._complete: defaultdict[str, set[View]] = defaultdict(set)
        """By shard key, the views that were seen to be in the store."""

    def prepare(self, _work: Workload) -> None:
        """Return None: all processes compute on the same kind of device."""

    def run(
        self, work: Workload, tasks: Iterable[ShardTask], ahead: Iterable[ShardTask]
    ) -> Generator[ShardRecords, None, None]:
        """Yield the records of some tasks from the store, once all of them are there."""
        if work.runner.config.replicate == 1:  # each process evaluates for itself what it evaluates again
            tasks = [*tasks]
            self._fill(work, tasks, ahead)
        yield from self._local.run(work, tasks, ahead)

    def cancel_pending(self) -> None:
        """Do nothing: shards are computed ahead only while others are waited for."""

    def close(self) -> None:
        """Do nothing: no lock is held between runs."""

    def _fill(self, work: Workload, tasks: Sequence[ShardTask], ahead: Iterable[ShardTask]) -> None:
        """Return once the store has the shards of some tasks.

        Shards that another process computes are waited for. In the meantime some of those `ahead` are computed: where
        images are drawn until a claim is decided, they are likely to be asked for next.
        """
        waiting, following = [*tasks], [*islice(ahead, self.ahead)]
        while waiting and work.checkpoint.store is not None:
            left = [task for task in waiting if not self._settle(work, task)]
            if left and len(left) == len(waiting) and not self._settle_one(work, following):
                self._settle(work, left[0], patience=_PATIENCE)
            waiting = left

    def _settle_one(self, work: Workload, following: list[ShardTask]) -> bool:
        """Settle the first shard that no other process computes, removing it from the list; return whether there was one."""
        for task in following:
            if self._settle(work, task):
                following.remove(task)
                return True
        return False

    def _settle(self, work: Workload, task: ShardTask, *, patience: float = 0.0) -> bool:
        """Have a shard in the store, unless another process computes it; return whether it is there."""
        checkpoint, key = work.checkpoint, work.checkpoint.shard_key(task.shard)
        views = [view for view in task.views if checkpoint.view_key(view) is not None]
        if self._complete[key].issuperset(views):
            return True
        with self._held(key, patience) as is_held:
            if is_held and (missing := checkpoint.missing_views(views, task.shard)):
                checkpoint.keep(work.compute(task.shard, missing))
        if is_held:
            self._complete[key].update(views)
        return is_held

    @contextmanager
    def _held(self, key: str, patience: float) -> Iterator[bool]:
        """Hold the lock of a shard, if it is released in time, and yield whether it is held."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{key}.lock")
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()
