"""What one evaluation keeps in a store and takes from it, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation import cache_keys as keys
from robustcheck.evaluation.shards import Shard, Shards
from robustcheck.evaluation.spot_check import SpotCheck
from robustcheck.evaluation.table import Table
from robustcheck.images import Batch, ImageSet
from robustcheck.notation import View, X
from robustcheck.records import Rows
from robustcheck.store.block import Part
from robustcheck.store.stats import Stored, now
from robustcheck.store.store import RecordStore


class Keeper:
    """The place of an evaluation's records in a store, where there is one.

    `facts` and `view_key` are asked for once they are needed: what they say may take reading the model.
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
        self.check = check
        self.taken: dict[View, Stored] = {}
        """What came from the store."""
        self._images, self._table, self._shards = images, table, shards
        self._facts, self._view_key = facts, view_key
        self._keys: dict[View, str | None] = {}
        self._found: tuple[Shard, list[Part]] | None = None
        self._unsaved: dict[View, int] = {}
        """From where in the order a view's records are not in the store."""

    # ------------------------------------------------------------------------------------- under what it is kept

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """What the study's digest is of."""
        return self._facts()

    @cached_property
    def study(self) -> str:
        """The study's digest."""
        return keys.digest_of(self.facts)

    def forget_study(self) -> None:
        """Ask for the facts anew, as long as nothing was kept under them."""
        for name in ("facts", "study"):
            self.__dict__.pop(name, None)
        self._found = None

    def key(self, view: View) -> str | None:
        """Return what a view is kept under; None where it can't be kept, since not all that it depends on is known."""
        if view not in self._keys:
            self._keys[view] = self._view_key(view)
        return self._keys[view]

    def slot(self, shard: Shard) -> str:
        """Return the shard's digest, over all that its numbers depend on but the views."""
        rows = self._table.order[shard.start : shard.stop]
        names = [self._images.names[row] for row in rows]
        return keys.slot_of(self.study, shard.start, names, self._images.labels[rows])

    # ------------------------------------------------------------------------------------------- what is there

    def parts(self, shard: Shard, *, now: bool = False) -> list[Part]:
        """Return what the store has of a shard; asked again of the same, it is not read again.

        With `now` it is, since other processes may put something there at any time.
        """
        if self.store is None:
            return []
        if now:
            self._found = None
            return self.store.find(self.study, self.slot(shard))
        if self._found is None or self._found[0] != shard:
            self._found = shard, self.store.find(self.study, self.slot(shard))
        return self._found[1]

    def lacking(self, views: Iterable[View], shard: Shard, *, now: bool = False) -> tuple[View, ...]:
        """Return the views that the store lacks of a shard, or has of some of its images only."""
        whole = {
            key for part in self.parts(shard, now=now) if len(part) == len(shard) for key in part.columns
        }
        return tuple(view for view in views if self.key(view) not in whole)

    def missing(self, views: Iterable[View]) -> Iterator[tuple[Shard, tuple[View, ...]]]:
        """Yield the shards of which the store lacks something that can be kept, and the views that it lacks."""
        kept = [view for view in views if self.key(view) is not None]
        for shard in self._shards.between(0, len(self._table.order)):
            if lacking := self.lacking(kept, shard, now=True):
                yield shard, lacking

    def take_in(self, views: Iterable[View], shard: Shard, start: int, batches: Sequence[Batch]) -> list[str]:
        """Take what the store has of a shard into the table, as far as the batches go, which begin at `start`.

        Return what the first batch of the run that it is from gave rise to.
        """
        ids = self._table.ids_at(shard.start, start)
        ids += [image_id for batch in batches for image_id in batch.ids]
        found = {view: best for view in views if (best := self._best(shard, view, ids))}
        ahead = {view: best for view, best in found.items() if shard.start + best[1] > self._table.done(view)}
        if not ahead or not self._agrees(found.get(X), start - shard.start, batches[0]):
            return []
        for view, records in self._take(shard, ids, ahead).items():
            part = ahead[view][0]
            if self.store is not None and (not self.store.began or part.computed < self.store.began):
                taken = Stored(records, 0, part.computed, part.computed)
                self.taken[view] = self.taken.get(view, Stored()) + taken
        return [doubt for part, _ in ahead.values() for doubt in part.doubts]

    def take_written(self, views: Iterable[View], shard: Shard, ids: Sequence[str]) -> None:
        """Take what a worker of this run has just written of a shard, whose images are `ids`, into the table."""
        self._found = None
        self._take(shard, ids, {view: best for view in views if (best := self._best(shard, view, ids))})

    def _take(
        self, shard: Shard, ids: Sequence[str], found: Mapping[View, tuple[Part, int]]
    ) -> dict[View, int]:
        """Put what parts have into the table; return how many images that was, by view."""
        taken = {}
        for view, (part, count) in found.items():
            have = max(0, self._table.done(view) - shard.start)
            rows = part.columns[str(self.key(view))][have:count]
            self._table.put(shard.start + have, ids[have:count], {view: rows})
            taken[view] = count - have
        return taken

    def _best(self, shard: Shard, view: View, ids: Sequence[str]) -> tuple[Part, int] | None:
        """Return the part that has most of a view, and how many of the images `ids` that is; None where none has any."""
        key = self.key(view)
        for part in self.parts(shard):
            count = min(len(part), len(ids))
            if key in part.columns and part.ids[:count] == tuple(ids[:count]):
                return part, count
        return None

    def _agrees(self, clean: tuple[Part, int] | None, at: int, batch: Batch) -> bool:
        """Return whether the model gives what the store says of one clean image, the first of a batch.

        Where it does not, nothing that is there is taken any more, and all of it is replaced.
        """
        if self.check.is_done or clean is None or clean[1] <= at or self.store is None:
            return True
        stored = float(clean[0].columns[str(self.key(X))]["p_top"][at])
        if not (objection := self.check.objection(stored, batch)):
            return True
        self.store.say(f"{objection}. Nothing is taken from the store, and all is computed anew")
        self.store, self._found = replace(self.store, since=now()), None
        return False

    # ------------------------------------------------------------------------------------------ what is put there

    def part(
        self,
        shard: Shard,
        ids: Sequence[str],
        columns: Mapping[View, Rows],
        doubts: Iterable[str] = (),
    ) -> Part:
        """Return what was measured of the first images of a shard, which are `ids`; views that can't be kept are left out."""
        keyed = {key: own for view, own in columns.items() if (key := self.key(view)) is not None}
        return Part(self.study, self.slot(shard), tuple(ids), keyed, now(), tuple(doubts))

    def commit(self, part: Part) -> None:
        """Put a part into the store, where there is one; raises `RobustcheckError` where it can't be written."""
        if self.store is not None:
            self.store.commit(part, {**self.facts, "images": self._images.name})

    def keep(self, part: Part) -> None:
        """Put a part into the store; where that can't be done, say so, and go on without one."""
        try:
            if part.columns:
                self.commit(part)
        except RobustcheckError as error:
            if self.store is not None:
                self.store.say(f"{error}. The run goes on without the record store")
            self.store = None

    def note_computed(self, views: Iterable[View], start: int) -> None:
        """Know that the table has records from the image `start` of the order on that the store lacks."""
        for view in views:
            self._unsaved.setdefault(view, start)

    def save(self, doubts: Iterable[str]) -> None:
        """Keep what was computed since it was last done, shard by shard."""
        while self._unsaved and self.store is not None:
            shard = self._shards.at(min(self._unsaved.values()))
            views = [view for view, start in self._unsaved.items() if start < shard.stop]
            upto = {view: min(self._table.done(view), shard.stop) for view in views}
            for stop in sorted({*upto.values()} - {shard.start}):
                columns = {
                    view: self._table.cut(view, shard.start, stop) for view in views if upto[view] == stop
                }
                self.keep(self.part(shard, self._table.ids_at(shard.start, stop), columns, doubts))
            for view in views:
                self._unsaved[view] = shard.stop
                if self._table.done(view) <= shard.stop:
                    del self._unsaved[view]
        self._unsaved.clear()
