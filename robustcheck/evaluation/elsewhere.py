"""An evaluation whose shards are computed in other processes: in order, each taken from the store, or fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from robustcheck.evaluation.keeping import Shard
from robustcheck.evaluation.workers import Workers
from robustcheck.notation import View

if TYPE_CHECKING:
    from robustcheck.evaluation.engine import Evaluation


def run_elsewhere(
    evaluation: Evaluation,
    workers: Workers,
    views: tuple[View, ...],
    span: tuple[int, int, int],
    tell: Callable[[int], None],
) -> None:
    """Have views evaluated on whole shards; `span` is from and to which image of the order, and up to where ahead."""
    start, goal, until = span
    if start < goal and not workers.are_here:
        workers.prepare(evaluation)  # what they are decides what may be taken from the store
    while start < goal:
        shard = evaluation.shard_at(start)
        if not workers.expects(evaluation, views, shard):
            evaluation.take_stored(views, start)
        if _lacking(evaluation, views, shard):
            _fetch(evaluation, workers, views, shard, until)
        if _lacking(evaluation, views, shard):  # it was given out ahead, without what the store had of it
            evaluation.take_stored(views, start)
        if _lacking(evaluation, views, shard):  # which was of no use
            _fetch(evaluation, workers, views, shard, until)
        start = shard.stop
        tell(min(start, until))


def _lacking(evaluation: Evaluation, views: tuple[View, ...], shard: Shard) -> tuple[View, ...]:
    return tuple(view for view in views if evaluation.done(view) < shard.stop)


def _fetch(
    evaluation: Evaluation, workers: Workers, views: tuple[View, ...], shard: Shard, until: int
) -> None:
    lacking = _lacking(evaluation, views, shard)
    evaluation.absorb(shard, workers.fetch(evaluation, views, lacking, shard, until))
