"""What one evaluation keeps in a store: its shards, what is there of them, and what came from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property

import numpy as np
import numpy.typing as npt

from robustcheck.evaluation import keys
from robustcheck.evaluation.part import Part
from robustcheck.evaluation.store import RecordStore
from robustcheck.images import ImageSet
from robustcheck.notation import View
from robustcheck.records import COLUMNS, Column

Columns = Mapping[str, Column]


@dataclass(frozen=True)
class Shard:
    """A run of whole batches at a fixed place in an evaluation's order: its images `start` to `stop`."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Stored:
    """What evaluations took from their store."""

    records: int = 0
    """Rows: images times views."""
    of: int = 0
    """How many there are in all."""
    first: str = ""
    last: str = ""
    """When the oldest and the newest of those from the store were computed, in UTC."""

    def __add__(self, other: Stored) -> Stored:
        first = min(filter(None, (self.first, other.first)), default="")
        return Stored(self.records + other.records, self.of + other.of, first, max(self.last, other.last))

    def __or__(self, other: Stored) -> Stored:
        """Return what two processes took of the same."""
        both = self + other
        return replace(both, records=max(self.records, other.records), of=max(self.of, other.of))

    def __str__(self) -> str:
        first, last = (text[:16].replace("T", " ") for text in (self.first, self.last))
        when = f"{first} UTC" if first == last else f"{first} to {last} UTC"
        return f"{self.records} of {self.of} from the store, computed {when}"

    def to_plain(self) -> tuple[int, int, str, str]:
        """Return its fields, for another process."""
        return self.records, self.of, self.first, self.last


class Keeper:
    """The place of an evaluation's records in a store.

    `facts` and `view_key` are asked for once they are needed: what they say may take reading the model.
    """

    def __init__(
        self,
        images: ImageSet,
        order: npt.NDArray[np.int64],
        shard_size: int,
        *,
        facts: Callable[[], Mapping[str, str]],
        view_key: Callable[[View], str | None],
    ) -> None:
        self.images, self.order, self.shard_size = images, order, shard_size
        self.taken: dict[View, Stored] = {}
        """What came from the store."""
        self._facts, self._view_key = facts, view_key
        self._keys: dict[View, str | None] = {}
        self._found: tuple[Shard, list[Part]] | None = None

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """What the study's digest is of."""
        return self._facts()

    @cached_property
    def study(self) -> str:
        """The study's digest."""
        return keys.digest_of(self.facts)

    def key(self, view: View) -> str | None:
        """Return what a view is kept under; None where it can't be kept."""
        if view not in self._keys:
            self._keys[view] = self._view_key(view)
        return self._keys[view]

    def shard_at(self, position: int) -> Shard:
        """Return the shard that an image of the order is in."""
        start = position // self.shard_size * self.shard_size
        return Shard(start, min(start + self.shard_size, len(self.order)))

    def slot(self, shard: Shard) -> str:
        """Return the shard's digest."""
        rows = self.order[shard.start : shard.stop]
        names = [self.images.names[row] for row in rows]
        return keys.slot_of(self.study, shard.start, names, self.images.labels[rows])

    def parts(self, store: RecordStore, shard: Shard) -> list[Part]:
        """Return what the store has of a shard; asked again of the same, it is not read again."""
        if self._found is None or self._found[0] != shard:
            self._found = shard, store.find(self.study, self.slot(shard))
        return self._found[1]

    def look_up(self, store: RecordStore, shard: Shard) -> list[Part]:
        """Return what the store has of a shard now: another process may have put it there."""
        self._found = None
        return store.find(self.study, self.slot(shard))

    def part(
        self,
        shard: Shard,
        ids: Sequence[str],
        columns: Mapping[View, Columns],
        doubts: Iterable[str] = (),
    ) -> Part:
        """Return what was measured of the first images of a shard, which are `ids`; views that can't be kept are left out."""
        keyed = {key: own for view, own in columns.items() if (key := self.key(view)) is not None}
        return Part(self.study, self.slot(shard), tuple(ids), keyed, now(), tuple(doubts))

    def best(self, parts: Iterable[Part], view: View, ids: Sequence[str]) -> tuple[Part, int] | None:
        """Return the part that has most of a view, and how many of the images `ids` that is; None where none has any."""
        key = self.key(view)
        for part in parts:
            count = min(len(part), len(ids))
            if key in part.columns and part.ids[:count] == tuple(ids[:count]):
                return part, count
        return None

    def refreshed(self, store: RecordStore) -> RecordStore:
        """Return a store of which nothing is taken that was computed until now."""
        self._found = None
        return replace(store, since=now())

    @property
    def stored(self) -> Stored:
        """How many records came from the store."""
        return sum(self.taken.values(), Stored())

    def note_taken(self, view: View, part: Part, records: int) -> None:
        """Count records that came from the store."""
        self.taken[view] = self.taken.get(view, Stored()) + Stored(records, 0, part.computed, part.computed)


def now() -> str:
    """Return the time in UTC, as in `Part.computed`."""
    return written(time.time())


def written(seconds: float) -> str:
    """Return a time, in seconds since 1970, as in `Part.computed`."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def cut(columns: Columns, rows: npt.NDArray[np.int64]) -> dict[str, Column]:
    """Return a view's columns for some rows."""
    return {name: columns[name][rows] for name in COLUMNS}
