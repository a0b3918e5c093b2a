"""What is given out to workers and comes back: shards in pieces, a few batches each."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from robustcheck.evaluation.executor import Workload
from robustcheck.evaluation.shards import Shard, ShardTask
from robustcheck.executors.ray.actor import Measured
from robustcheck.executors.ray.remote import commit
from robustcheck.notation import View

PIECES = 4
"""Into so many a shard is cut, where it has as many batches: so that all workers end at about the same time."""


@dataclass
class Job:
    """The shards of one evaluation that were given out, and what is there of them."""

    work: Workload
    pieces: int = PIECES
    """Into how many a shard is cut."""
    upcoming: Iterator[ShardTask] = field(default_factory=lambda: iter(()))
    """What is given out next."""
    losses: Counter[int] = field(default_factory=Counter)
    """How often a piece was with a worker that was lost, by where it starts."""
    _asked: dict[int, tuple[View, ...]] = field(default_factory=dict)
    """By shard: under which views it is measured."""
    _there: dict[int, dict[int, Measured]] = field(default_factory=dict)
    """By shard and piece."""
    _waiting: deque[Shard] = field(default_factory=deque)
    """Pieces that are to be given out before others."""

    def want(self, shard: Shard, views: tuple[View, ...]) -> None:
        """Have a shard given out next, unless it has been."""
        if shard.start not in self._asked:
            self._ask(shard, views)

    def next_piece(self) -> Shard | None:
        """Return what is to be given out, if anything is."""
        while not self._waiting and (task := next(self.upcoming, None)):
            missing = self.work.checkpoint.missing_views(task.views, task.shard)
            if missing and task.shard.start not in self._asked:
                self._ask(task.shard, missing)
        return self._waiting.popleft() if self._waiting else None

    def put_back(self, pieces: Sequence[Shard]) -> None:
        """Have pieces given out once more, before others."""
        self._waiting.extendleft(reversed(pieces))

    def has(self, shard: Shard) -> bool:
        """Return whether a shard was given out, and not yet taken."""
        return shard.start in self._asked

    def views_of(self, piece: Shard) -> tuple[View, ...]:
        """Return under which views a piece is to be measured."""
        return self._asked[self.work.shards.at(piece.start).start]

    def add(self, piece: Shard, measured: Measured) -> None:
        """Take in a piece; the shard that it completes goes into the store."""
        shard = self.work.shards.at(piece.start)
        there = self._there.setdefault(shard.start, {})
        there[piece.start] = measured
        if self.is_there(shard):
            joined = _joined([there[start] for start in sorted(there)])
            self._there[shard.start] = {shard.start: joined}
            commit(self.work, shard, joined)

    def is_there(self, shard: Shard) -> bool:
        """Return whether all pieces of a shard are there."""
        return sum(len(measured.ids) for measured in self._there.get(shard.start, {}).values()) == len(shard)

    def take(self, shard: Shard) -> Measured:
        """Return a shard that is there, and forget it."""
        del self._asked[shard.start]
        (measured,) = self._there.pop(shard.start).values()
        return measured

    def _ask(self, shard: Shard, views: tuple[View, ...]) -> None:
        self._asked[shard.start] = views
        self._waiting.extend(self._pieces(shard))

    def _pieces(self, shard: Shard) -> Iterator[Shard]:
        batch = self.work.runner.batch_size
        size = -(-self.work.shards.size // (self.pieces * batch)) * batch
        for start in range(shard.start, shard.stop, size):
            yield Shard(start, min(start + size, shard.stop))


def _joined(pieces: Sequence[Measured]) -> Measured:
    """Return one shard of its pieces, which are in order."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    kinds = {piece.kind for piece in pieces}
    return Measured(
        ids=tuple(image_id for piece in pieces for image_id in piece.ids),
        columns={view: np.concatenate([piece.columns[view] for piece in pieces]) for view in first.columns},
        first_batch_warnings=first.first_batch_warnings,
        warnings=tuple(dict.fromkeys(text for piece in pieces for text in piece.warnings)),
        host=first.host,
        kind="; ".join(sorted(kinds)),
    )
