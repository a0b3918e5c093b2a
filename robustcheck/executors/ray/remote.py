"""What becomes of the records that workers send: checked, committed once, and read back where workers committed them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.executor import Workload
from robustcheck.evaluation.shards import Place, Shard, ShardRecords
from robustcheck.executors.ray.actor import Measured
from robustcheck.notation import View, parse


def commit(work: Workload, shard: Shard, measured: Measured) -> None:
    """Commit what a worker measured to the record store, once its images are found to be those that are here.

    Raises `RobustcheckError` where they are not.
    """
    rows = work.order[shard.start : shard.stop]
    try:
        work.images.expect(rows, measured.ids)
        next(work.images.batches(1, rows[:1]))
    except RobustcheckError as error:
        raise RobustcheckError(
            f"{error}. The worker on {measured.host} read other pixels than are here: see that the same files are under "
            "the same paths there, and the same Pillow, or send it the images (--robustcheck-worker-options=images:pixels)"
        ) from None
    if work.checkpoint.store is not None and measured.kind == work.checkpoint.facts["device"]:
        work.checkpoint.keep(_records(shard, measured, None))


def records_of(
    work: Workload, shard: Shard, measured: Measured, place: Place, visible_within: float
) -> list[ShardRecords]:
    """Return the records that a worker sent, with those that it wrote to the record store itself.

    Raises `RobustcheckError` where the latter are not seen here in time.
    """
    written = tuple(map(parse, measured.kept))
    _await_written(work, written, shard, measured.host, visible_within)
    return [_records(shard, measured, place), *work.checkpoint.read(written, shard, measured.ids)]


def _records(shard: Shard, measured: Measured, place: Place | None) -> ShardRecords:
    return ShardRecords(
        shard.start,
        measured.ids,
        {parse(text): own for text, own in measured.columns.items()},
        is_stored=True,
        first_batch_warnings=measured.first_batch_warnings,
        warnings=measured.warnings,
        place=place,
    )


def _await_written(
    work: Workload, views: Sequence[View], shard: Shard, host: str, visible_within: float
) -> None:
    ends = time.monotonic() + visible_within
    while missing := work.checkpoint.missing_views(views, shard):
        if time.monotonic() > ends:
            store = work.checkpoint.store
            raise RobustcheckError(
                f"the worker on {host} wrote {missing[0]} and others to the record store "
                f"{store and store.folder.resolve()}, where they are not seen from here: name a folder that all machines "
                "share (--robustcheck-store=DIR), or have records sent (--robustcheck-worker-options=records:sent)"
            )
        time.sleep(0.2)
