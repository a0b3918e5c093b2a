"""An evaluation whose shards are computed in other processes: in order, each taken from the store, or fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.executor import Measured, Workers
from robustcheck.evaluation.shards import Shard
from robustcheck.notation import View, parse

if TYPE_CHECKING:
    from robustcheck.evaluation.engine import Evaluation


_SEEN_IN = 30.0
"""Seconds in which a shared folder shows what another machine wrote."""


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
        shard = evaluation.shards.at(start)
        if not workers.expects(evaluation, views, shard):
            evaluation.take_stored(views, start, shard.stop)
        if _lacking(evaluation, views, shard):
            _fetch(evaluation, workers, views, shard, until)
        if _lacking(evaluation, views, shard):  # it was given out ahead, without what the store had of it
            evaluation.take_stored(views, start, shard.stop)
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
    absorb(evaluation, shard, workers.fetch(evaluation, views, lacking, shard, until))


def receive(evaluation: Evaluation, shard: Shard, measured: Measured) -> None:
    """Keep in the store what a worker measured, once its images are found to be those that are here.

    Raises `RobustcheckError` where they are not.
    """
    rows = evaluation.order[shard.start : shard.stop]
    try:
        evaluation.images.expect(rows, measured.ids)
        next(evaluation.images.batches(1, rows[:1]))
    except RobustcheckError as error:
        raise RobustcheckError(
            f"{error}. The worker on {measured.where} read other pixels than are here: see that the same files are under "
            "the same paths there, and the same Pillow, or send it the images (--robustcheck-worker-options=images:pixels)"
        ) from None
    keeper = evaluation.keeper
    if keeper.store is not None and measured.device == keeper.facts["device"]:
        columns = {parse(text): own for text, own in measured.columns.items()}
        keeper.keep(keeper.part(shard, measured.ids, columns, measured.doubts))


def absorb(evaluation: Evaluation, shard: Shard, measured: Measured) -> None:
    """Take in what was measured of the shard that is next."""
    columns = {parse(text): rows for text, rows in measured.columns.items()}
    evaluation.table.add(columns)
    lacking = {view: own for view, own in columns.items() if evaluation.done(view) < shard.stop}
    evaluation.table.put(shard.start, measured.ids, lacking)
    kept = [view for view in map(parse, measured.kept) if evaluation.done(view) < shard.stop]
    evaluation.table.add(kept)
    _await_written(evaluation, kept, shard, measured.where)
    evaluation.keeper.take_written(kept, shard, measured.ids)
    evaluation.diagnostics.warn_of_first_batch(measured.doubts)
    for text in measured.warnings:
        evaluation.diagnostics.warn(text)


def _await_written(evaluation: Evaluation, views: Sequence[View], shard: Shard, where: str) -> None:
    """Return once what a worker wrote to the store is seen here; raises `RobustcheckError` where it is not in time."""
    ends = time.monotonic() + _SEEN_IN
    while lacking := evaluation.keeper.lacking(views, shard, now=True):
        if time.monotonic() > ends:
            store = evaluation.keeper.store
            raise RobustcheckError(
                f"the worker on {where} wrote {lacking[0]} and others to the record store "
                f"{store and store.folder.resolve()}, where they are not seen from here: name a folder that all machines "
                "share (--robustcheck-store=DIR), or have records sent (--robustcheck-worker-options=records:sent)"
            )
        time.sleep(0.2)
