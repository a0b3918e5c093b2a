"""What one evaluation keeps in the record store and loads from it, shard by shard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import torch

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.cache_keys import config_digest, shard_key
from robustcheck.evaluation.shards import Shard, ShardRecords, Shards, ShardTask
from robustcheck.evaluation.table import Table
from robustcheck.images import Batch, ImageSet
from robustcheck.models import Classifier, Precision
from robustcheck.notation import View, X
from robustcheck.store.block import RecordBlock
from robustcheck.store.stats import CacheStats, now
from robustcheck.store.store import RecordStore

_TOLERANCE, _HALF_TOLERANCE = {"fp32": 1e-3}, 2e-2
"""How far p(top) may be from what the store says of it, by precision: the image is classified alone."""


class SpotCheck:
    """Classifies one image again before records are loaded: a model may change in ways that no digest shows."""

    def __init__(self, classifier: Classifier, precision: str) -> None:
        self.is_done = False
        self._classifier, self._precision = classifier, precision

    def mismatch(self, stored: float, batch: Batch) -> str:
        """Return how the model differs from the store, whose p(top) for the first image of a batch is `stored`; else ""."""
        self.is_done = True
        classifier = self._classifier
        precision = Precision(self._precision, classifier.device)
        with torch.inference_mode(), precision.arithmetic():
            found = float(classifier.logits(batch.pixels[:1].float()).double().softmax(dim=1).max())
        if abs(found - stored) <= _TOLERANCE.get(self._precision, _HALF_TOLERANCE):
            return ""
        return (
            f"{classifier.name} gives p(top) {found:.4f} for {batch.names[0]}, but the record store has {stored:.4f}: the "
            "model is random, or it changed in a way that neither its weights nor its code show"
        )


class RecordCheckpoint:
    """The records of one evaluation in a record store, if there is one.

    `facts` and `view_key` are called when they are first needed, since they may have to read the model.
    """

    def __init__(
        self,
        store: RecordStore | None,
        images: ImageSet,
        table: Table,
        shards: Shards,
        *,
        check: SpotCheck,
        facts: Callable[[], Mapping[str, str]],
        view_key: Callable[[View], str | None],
    ) -> None:
        self.store = store
        self.loaded: dict[View, CacheStats] = {}
        """How much came from the store."""
        self._check, self._images, self._table, self._shards = check, images, table, shards
        self._make_facts, self._make_view_key = facts, view_key
        self._device_kind = ""
        self._known_facts: Mapping[str, str] = {}
        self._view_keys: dict[View, str | None] = {}
        self._found: tuple[Shard, list[RecordBlock]] | None = None
        self._unsaved: defaultdict[Shard, dict[View, None]] = defaultdict(dict)
        """By shard, the views of which the table has records that the store lacks."""

    # ------------------------------------------------------------------------------------------------------ keys

    @property
    def facts(self) -> Mapping[str, str]:
        """What the digest of the configuration is of."""
        if not self._known_facts:
            kind = {"device": self._device_kind} if self._device_kind else {}
            self._known_facts = {**self._make_facts(), **kind}
        return self._known_facts

    @property
    def config_digest(self) -> str:
        """The digest of all that the numbers depend on, but for images and views."""
        return config_digest(self.facts)

    def assume_device(self, kind: str) -> None:
        """Use the keys of records that are computed on some kind of device; see `robustcheck.evaluation.cache_keys`."""
        if kind != self.facts["device"]:
            self._device_kind, self._known_facts, self._found = kind, {}, None

    def share_spot_check(self, other: RecordCheckpoint) -> None:
        """Check the model no more than once for this one and another."""
        self._check = other._check

    def view_key(self, view: View) -> str | None:
        """Return the key of a view; None where not all that it depends on is known, so that it is not kept."""
        if view not in self._view_keys:
            self._view_keys[view] = self._make_view_key(view)
        return self._view_keys[view]

    def shard_key(self, shard: Shard) -> str:
        """Return the digest of all that a shard's numbers depend on but the views."""
        rows = self._table.order[shard.start : shard.stop]
        names = [self._images.names[row] for row in rows]
        return shard_key(self.config_digest, shard.start, names, self._images.labels[rows])

    # --------------------------------------------------------------------------------------------------- reading

    def blocks(self, shard: Shard, *, again: bool = False) -> list[RecordBlock]:
        """Return the blocks that the store has of a shard; the last that was asked for is read once.

        With `again` it is read again, since other processes may commit at any time.
        """
        if self.store is None:
            return []
        if again or self._found is None or self._found[0] != shard:
            self._found = shard, self.store.find(self.config_digest, self.shard_key(shard))
        return self._found[1]

    def missing_views(self, views: Iterable[View], shard: Shard) -> tuple[View, ...]:
        """Return the views that the store has not of all images of a shard, as it is now."""
        whole = {
            key
            for block in self.blocks(shard, again=True)
            if len(block) == len(shard)
            for key in block.columns
        }
        return tuple(view for view in views if self.view_key(view) not in whole)

    def load(self, task: ShardTask) -> tuple[list[ShardRecords], ShardTask | None]:
        """Return the records of a task that the store has, and what is left of the task; its images have been read.

        On a mismatch with the model the store's records are ignored from then on, with a warning.
        """
        shard = task.shard
        ids = self._table.ids_at(shard.start, task.start)
        ids += [image_id for batch in task.batches for image_id in batch.ids]
        found = {view: best for view in task.views if (best := self._longest(view, shard, ids))}
        found = {view: best for view, best in found.items() if shard.start + best[1] > task.missing[view]}
        if not found or not self._agrees(task, ids):
            return [], task
        records, missing = [], dict(task.missing)
        for view, (block, count) in found.items():
            rows = slice(missing[view] - shard.start, count)
            records.append(_cut(view, str(self.view_key(view)), block, rows, shard.start))
            missing[view] = shard.start + count
            if self.store is not None and (not self.store.began or block.computed < self.store.began):
                loaded = CacheStats(len(records[-1].ids), 0, block.computed, block.computed)
                self.loaded[view] = self.loaded.get(view, CacheStats()) + loaded
        missing = {view: start for view, start in missing.items() if start < task.stop}
        return records, replace(task, missing=missing) if missing else None

    def read(self, views: Iterable[View], shard: Shard, ids: Sequence[str]) -> list[ShardRecords]:
        """Return what another process has just written of a whole shard, whose images are `ids`."""
        self._found = None
        found = ((view, self._longest(view, shard, ids)) for view in views)
        return [
            _cut(view, str(self.view_key(view)), best[0], slice(0, best[1]), shard.start)
            for view, best in found
            if best
        ]

    def _longest(self, view: View, shard: Shard, ids: Sequence[str]) -> tuple[RecordBlock, int] | None:
        """Return the block with the most records of a view, and how many of the images `ids` it has; None for no block."""
        key = self.view_key(view)
        for block in self.blocks(shard):
            count = min(len(block), len(ids))
            if key in block.columns and block.ids[:count] == tuple(ids[:count]):
                return block, count
        return None

    def _agrees(self, task: ShardTask, ids: Sequence[str]) -> bool:
        """Return whether the model gives what the store says of one clean image, the first of a task."""
        clean, row = self._longest(X, task.shard, ids), task.start - task.shard.start
        if self._check.is_done or clean is None or clean[1] <= row or self.store is None:
            return True
        stored = float(clean[0].columns[str(self.view_key(X))]["p_top"][row])
        if not (mismatch := self._check.mismatch(stored, task.batches[0])):
            return True
        self.store.warn(f"{mismatch}. Ignoring cached records and recomputing everything")
        self.store, self._found = replace(self.store, since=now()), None
        return False

    # --------------------------------------------------------------------------------------------------- writing

    def block(self, records: ShardRecords) -> RecordBlock:
        """Return the block of some records, the first of a shard; views that can't be kept are left out."""
        columns = {
            key: own for view, own in records.columns.items() if (key := self.view_key(view)) is not None
        }
        key, warnings = self.shard_key(self._shards.at(records.start)), records.first_batch_warnings
        return RecordBlock(self.config_digest, key, records.ids, columns, now(), warnings)

    def commit(self, block: RecordBlock) -> None:
        """Write a block to the store, if there is one; raises `RobustcheckError` where it can't be written."""
        if self.store is not None:
            self.store.commit(block, {**self.facts, "images": self._images.name})

    def keep(self, records: ShardRecords) -> None:
        """Write the first records of a shard to the store; where that fails, warn, and continue without a store."""
        if self.store is None:
            return
        block = self.block(records)
        try:
            if block.columns:
                self.commit(block)
        except RobustcheckError as error:
            self.store.warn(f"{error}. The run continues without the record store")
            self.store = None

    def note_computed(self, views: Iterable[View], shard: Shard) -> None:
        """Note that the table has records of a shard that the store lacks."""
        if self.store is not None:
            self._unsaved[shard].update(dict.fromkeys(views))

    def save(self, first_batch_warnings: Sequence[str], shard: Shard | None = None) -> None:
        """Write what was computed of a shard, or of all, and is not in the store."""
        for each in [*self._unsaved] if shard is None else [shard]:
            stops = {view: self._table.missing(view, each) for view in self._unsaved[each]}
            for stop in sorted({*stops.values()} - {each.start}):
                rows = {
                    view: self._table.cut(view, each.start, stop)
                    for view, own in stops.items()
                    if own == stop
                }
                ids = tuple(self._table.ids_at(each.start, stop))
                self.keep(
                    ShardRecords(each.start, ids, rows, first_batch_warnings=tuple(first_batch_warnings))
                )
            del self._unsaved[each]  # not before: an interrupt on the way is followed by another save


def _cut(view: View, key: str, block: RecordBlock, rows: slice, first: int) -> ShardRecords:
    """Return some of the records that a block has of a view; `first` is the position of its shard's first image."""
    return ShardRecords(
        first + rows.start,
        block.ids[rows],
        {view: block.columns[key][rows]},
        is_stored=True,
        first_batch_warnings=block.warnings,
    )
