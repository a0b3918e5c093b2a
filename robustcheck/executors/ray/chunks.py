"""What is given out to workers and comes back: shards in pieces, a few batches each."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from robustcheck.evaluation.engine import Evaluation
from robustcheck.evaluation.executor import Measured
from robustcheck.evaluation.shards import Shard
from robustcheck.executors.ray.remote import receive
from robustcheck.notation import View

PIECES = 4
"""Into so many a shard is cut, where it has as many batches: so that all workers end at about the same time."""


@dataclass
class Job:
    """Some views of one evaluation: which of its shards were given out, and what is there of them."""

    evaluation: Evaluation
    views: tuple[View, ...]
    pieces: int = PIECES
    """Into how many a shard is cut."""
    until: int = 0
    """Up to where in the order shards are given out."""
    losses: Counter[int] = field(default_factory=Counter)
    """How often a piece was with a worker that was lost, by where it starts."""
    _asked: dict[int, tuple[View, ...]] = field(default_factory=dict)
    """By shard: under which views it is measured."""
    _there: dict[int, dict[int, Measured]] = field(default_factory=dict)
    """By shard and piece."""
    _waiting: deque[Shard] = field(default_factory=deque)
    """Pieces that are to be given out before others."""
    _ahead: int = 0

    def want(self, shard: Shard, views: tuple[View, ...]) -> None:
        """Have a shard given out next, unless it has been."""
        if shard.start not in self._asked:
            self._ask(shard, views)
            self._ahead = max(self._ahead, shard.stop)

    def next_piece(self) -> Shard | None:
        """Return what is to be given out, if anything is."""
        while not self._waiting and self._ahead < self.until:
            shard = self.evaluation.shards.at(self._ahead)
            self._ahead = shard.stop
            lacking = self.evaluation.keeper.lacking(self.views, shard)
            lacking = tuple(view for view in lacking if self.evaluation.done(view) < shard.stop)
            if lacking and shard.start not in self._asked:
                self._ask(shard, lacking)
        return self._waiting.popleft() if self._waiting else None

    def put_back(self, pieces: Sequence[Shard]) -> None:
        """Have pieces given out once more, before others."""
        self._waiting.extendleft(reversed(pieces))

    def has(self, shard: Shard) -> bool:
        """Return whether a shard was given out, and not yet taken."""
        return shard.start in self._asked

    def views_of(self, piece: Shard) -> tuple[View, ...]:
        """Return under which views a piece is to be measured."""
        return self._asked[self.evaluation.shards.at(piece.start).start]

    def add(self, piece: Shard, measured: Measured) -> None:
        """Take in a piece; the shard that it completes goes into the store."""
        shard = self.evaluation.shards.at(piece.start)
        there = self._there.setdefault(shard.start, {})
        there[piece.start] = measured
        if self.is_there(shard):
            joined = _joined([there[start] for start in sorted(there)])
            self._there[shard.start] = {shard.start: joined}
            receive(self.evaluation, shard, joined)

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
        batch = self.evaluation.batch_size
        size = -(-self.evaluation.shards.size // (self.pieces * batch)) * batch
        for start in range(shard.start, shard.stop, size):
            yield Shard(start, min(start + size, shard.stop))


def _joined(pieces: Sequence[Measured]) -> Measured:
    """Return one shard of its pieces, which are in order."""
    if len(pieces) == 1:
        return pieces[0]
    first = pieces[0]
    devices = {piece.device for piece in pieces}
    return Measured(
        ids=tuple(image_id for piece in pieces for image_id in piece.ids),
        columns={view: np.concatenate([piece.columns[view] for piece in pieces]) for view in first.columns},
        doubts=first.doubts,
        warnings=tuple(dict.fromkeys(text for piece in pieces for text in piece.warnings)),
        where=first.where,
        device="; ".join(sorted(devices)),
    )
