"""Several processes that evaluate the same: each computes shards that no other does, and reads the others'.

Who is to compute a shard holds a lock on it, a file in a folder that all of them know, and commits its part to the
store that they share before letting go. The locks are the operating system's, so those of a process that dies are
free, and its shard is computed by another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from robustcheck.evaluation.shards import Shard
from robustcheck.notation import View

if TYPE_CHECKING:
    from robustcheck.evaluation.engine import Evaluation

_PATIENCE = 0.2
"""Seconds to wait for one shard before it is looked whether another has become free."""


class Sharing:
    """One process' share in the work of several."""

    def __init__(self, folder: Path, *, ahead: int = 0) -> None:
        """`folder` is where locks are, the same for all; at most `ahead` shards are computed before they are asked for."""
        self.folder, self.ahead = folder, ahead
        self._whole: defaultdict[str, set[View]] = defaultdict(set)
        """By slot, the views that were seen to be in the store."""

    def fill(
        self, evaluation: Evaluation, views: Sequence[View], *, start: int, goal: int, furthest: int
    ) -> None:
        """Return once the store has the images `start` to `goal` of the order under some views.

        Shards that another process computes are waited for. In the meantime some that follow are computed, up to
        the image `furthest`: where images are drawn until a claim is decided, they are likely to be asked for next.
        """
        keeper, between = evaluation.keeper, evaluation.shards.between
        views = [
            view for view in views if keeper.key(view) is not None
        ]  # each process computes the others for itself
        waiting = [*between(start, goal)]
        following = [*islice(between(waiting[-1].stop, furthest), self.ahead)] if waiting else []
        while waiting and keeper.store is not None:
            taken = [shard for shard in waiting if self._settle(evaluation, views, shard)]
            waiting = [shard for shard in waiting if shard not in taken]
            if waiting and not taken and not self._settle_one(evaluation, views, following):
                self._settle(evaluation, views, waiting[0], patience=_PATIENCE)

    def _settle_one(self, evaluation: Evaluation, views: Sequence[View], following: list[Shard]) -> bool:
        """Settle the first of some shards that no other process has, taking it from the list; return whether there was one."""
        for shard in following:
            if self._settle(evaluation, views, shard):
                following.remove(shard)
                return True
        return False

    def _settle(
        self, evaluation: Evaluation, views: Sequence[View], shard: Shard, *, patience: float = 0.0
    ) -> bool:
        """Have a shard in the store, unless another process is at it; return whether it is there."""
        slot = evaluation.keeper.slot(shard)
        if self._whole[slot].issuperset(views):
            return True
        with self._held(slot, patience) as is_held:
            if is_held and (lacking := evaluation.keeper.lacking(views, shard, now=True)):
                evaluation.keeper.keep(evaluation.compute(lacking, shard))
        if is_held:
            self._whole[slot].update(views)
        return is_held

    @contextmanager
    def _held(self, slot: str, patience: float) -> Iterator[bool]:
        """Hold the lock of a shard, where it can be had in time, and tell whether it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{slot}.lock")
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()
