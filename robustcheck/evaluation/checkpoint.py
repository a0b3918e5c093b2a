"""What one evaluation keeps in the record store and loads from it, shard by shard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import torch

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.cache_keys import config_digest, shard_key
from robustcheck.evaluation.shards import Shard, ShardRecords, Shards, ShardTask
from robustcheck.evaluation.table import Table
from robustcheck.images import ImageSet
from robustcheck.models import Classifier, Precision
from robustcheck.models.network_state import UnknownState
from robustcheck.notation import View
from robustcheck.store.block import RecordBlock
from robustcheck.store.stats import CacheStats, now
from robustcheck.store.store import RecordStore

_ROUNDING = {"fp32": 1e-5, "tf32": 1e-3, "fp16": 2e-3, "bf16": 2e-2}
"""How far logits may be from what the store has, as a share of the largest: the last bits of the run's precision."""
_OTHER_DEVICE = 1e-3
"""The same, where they were computed on another kind of device."""


class SpotCheck:
    """Classifies one image of a shard again before its records are loaded: a model may change in ways that no key shows."""

    def __init__(self, classifier: Classifier, images: ImageSet, precision: str) -> None:
        self._classifier, self._images, self._precision = classifier, images, precision
        self._logits: dict[int, npt.NDArray[np.float32]] = {}

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """Return the logits (classes,) of an image of the set in the run's precision, in a batch of itself alone, once."""
        if row not in self._logits:
            precision = Precision(self._precision, self._classifier.device)
            (batch,) = self._images.batches(1, np.array([row]))
            # Twice where there is room, for networks that fail on a single image.
            pixels = torch.cat([batch.pixels] * self._classifier.trial_images).float()
            with (
                torch.inference_mode(),
                self._classifier.evaluating(),
                precision.arithmetic(),
                precision.classifying(),
            ):
                self._logits[row] = self._classifier.logits(pixels)[0].cpu().numpy()
        return self._logits[row]

    def mismatch(self, stored: bytes, row: int, *, is_elsewhere: bool) -> str:
        """Return how the model differs from the store, which has `stored` as an image's logits; else ""."""
        found, expected = self.logits(row), np.frombuffer(stored, dtype="<f4")
        allowed = max(_ROUNDING[self._precision], _OTHER_DEVICE if is_elsewhere else 0.0)
        if found.shape == expected.shape:
            apart = float(np.abs(found - expected).max() / (np.abs(expected).max() or 1))
            if apart <= allowed:
                return ""
            what = f"logits that differ by {apart:.2g} of the largest from those"
        else:
            what = f"{len(found)} logits, not the {len(expected)}"
        return (
            f"{self._classifier.name} gives for {self._images.names[row]} {what} in the record store: the model is random, "
            "or it changed in a way that neither its weights nor its attributes nor its code show"
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
        view_key: Callable[[View], str],
    ) -> None:
        self.store = store
        self.loaded: dict[View, CacheStats] = {}
        """How much came from the store."""
        self.check = check
        """Shared by evaluations of the same classifier and images."""
        self._images, self._table, self._shards = images, table, shards
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
        """What the digest of the configuration is of; raises `UnknownState` for a model that can't be compared."""
        if not self._known_facts:
            kind = {"device": self._device_kind} if self._device_kind else {}
            self._known_facts = {**self._make_facts(), **kind}
        return self._known_facts

    @property
    def config_digest(self) -> str:
        """The digest of all that the numbers depend on, but for images and views."""
        return config_digest(self.facts)

    def check_keys(self) -> None:
        """Continue without a store, with a warning, where the model has state that can't be compared between runs."""
        if self.store is None:
            return
        try:
            _ = self.facts
        except UnknownState as error:
            self.store.warn(
                f"nothing is kept in the record store: {error.path} is a {error.kind}, which can't be compared between runs; "
                "numbers, texts, tensors, containers of them, dataclasses and networks can"
            )
            self.store = None

    def assume_device(self, kind: str) -> None:
        """Use the keys of records that are computed on some kind of device; see `robustcheck.evaluation.cache_keys`."""
        if self.store is not None and kind != self.facts["device"]:
            self._device_kind, self._known_facts, self._found = kind, {}, None

    def view_key(self, view: View) -> str | None:
        """Return the key of a view; None where not all that it depends on is known, so that it is not kept."""
        if view not in self._view_keys:
            try:
                self._view_keys[view] = self._make_view_key(view)
            except UnknownState as error:
                self._view_keys[view] = None
                if self.store is not None:
                    self.store.warn(
                        f"records of {view} are not kept in the record store: {error.path} is a {error.kind}, which can't "
                        "be compared between runs"
                    )
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
        if not found or not self._agrees(shard, [block for block, _ in found.values()]):
            return [], task
        records, missing = [], dict(task.missing)
        for view, (block, count) in found.items():
            rows = slice(missing[view] - shard.start, count)
            records.append(_cut(view, str(self.view_key(view)), block, rows, shard.start))
            missing[view] = shard.start + count
            if self.store is not None and not self.store.is_own(block):
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

    def _agrees(self, shard: Shard, blocks: Sequence[RecordBlock]) -> bool:
        """Return whether the model gives what some blocks of a shard say of its first image."""
        row, is_elsewhere = int(self._table.order[shard.start]), bool(self._device_kind)
        said = (
            self.check.mismatch(logits, row, is_elsewhere=is_elsewhere)
            for logits in {b.logits for b in blocks}
        )
        mismatch = next(filter(None, said), "")
        if mismatch and self.store is not None:
            self.store.warn(f"{mismatch}. Ignoring cached records and recomputing everything")
            self.store, self._found = replace(self.store, run=uuid4().hex, refresh=True), None
        return not mismatch

    # --------------------------------------------------------------------------------------------------- writing

    def block(self, records: ShardRecords) -> RecordBlock:
        """Return the block of some records, the first of a shard; views that can't be kept are left out."""
        columns = {
            key: own for view, own in records.columns.items() if (key := self.view_key(view)) is not None
        }
        shard = self._shards.at(records.start)
        logits = self.check.logits(int(self._table.order[shard.start])).astype("<f4").tobytes()
        return RecordBlock(
            self.config_digest,
            self.shard_key(shard),
            records.ids,
            columns,
            now(),
            records.first_batch_warnings,
            logits=logits,
        )

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
            # Now, since they are part of what is saved: later the model may fail.
            self.check.logits(int(self._table.order[shard.start]))
            self._unsaved[shard].update(dict.fromkeys(views))

    @property
    def unsaved_from(self) -> int | None:
        """The position of the first image of which the store lacks computed records; None where it lacks none."""
        return 0 if self.store is None else min((shard.start for shard in self._unsaved), default=None)

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
