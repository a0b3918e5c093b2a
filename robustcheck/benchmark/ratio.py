"""Two ways of doing the same, timed in turns: how many times as fast the one is, with its spread."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb
from statistics import median

from robustcheck.errors import RobustcheckError

LEVEL = 0.95
FEWEST_ROUNDS = 6
"""With fewer, not even from the least to the largest is the median's interval at this level."""
ROUNDS = 9
"""Enough for the interval to leave out the most extreme round on either side."""


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is as theirs, of rounds in which each was timed once, one after the other.

    Each round gives a ratio, theirs / ours; `ratio` is their median, above 1 where ours is faster. From
    `ratio_low` to `ratio_high` is an interval of that median at the level 95 %, by order statistics: it asks
    of no distribution, only that rounds are alike, so what slows down both at once does not move it. It speaks
    of this process on this machine; another process may differ by more.
    """

    ours: tuple[float, ...]
    """Seconds a call, round by round."""
    theirs: tuple[float, ...]
    device: str = "cpu"
    """What it ran on."""

    def __post_init__(self) -> None:
        if len(self.ours) != len(self.theirs):
            raise RobustcheckError(f"{len(self.ours)} rounds of ours, but {len(self.theirs)} of theirs")
        check_rounds(len(self.ours))

    @cached_property
    def ratios(self) -> tuple[float, ...]:
        """Of each round theirs / ours."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return tuple(theirs / ours if ours > 0 else float("inf") for ours, theirs in pairs)

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def ratio_low(self) -> float:
        """The lower end of the median's interval."""
        return sorted(self.ratios)[outside(len(self.ratios))]

    @property
    def ratio_high(self) -> float:
        """The upper end of the median's interval."""
        return sorted(self.ratios)[-1 - outside(len(self.ratios))]

    def __bool__(self) -> bool:
        raise TypeError("a ratio is neither true nor false: did you mean ratio_low >= 1?")

    def __repr__(self) -> str:
        return (
            f"<ours {in_units(median(self.ours))}, theirs {in_units(median(self.theirs))} a call: "
            f"{self.ratio:.3g} times as fast, {self.ratio_low:.3g} .. {self.ratio_high:.3g} "
            f"at 95 % over {len(self.ours)} rounds in turns, on {self.device}>"
        )


def check_rounds(rounds: object) -> None:
    """Raise `RobustcheckError` for a number of rounds that gives no interval."""
    if not isinstance(rounds, int) or rounds < FEWEST_ROUNDS:
        raise RobustcheckError(
            f"rounds={rounds!r}: an interval of the median at {LEVEL:.0%} takes at least {FEWEST_ROUNDS} rounds"
        )


def outside(count: int) -> int:
    """Return how many of `count` values may be left out on either side of an interval of the median at `LEVEL`.

    With k left out, the median is below all others with the chance that at most k of `count` fair coins show heads.

    >>> outside(6), outside(9), outside(25)
    (0, 1, 7)
    """
    below, left_out = 0, 0
    for k in range(count // 2):
        below += comb(count, k)
        if 1 - 2 * below / 2**count < LEVEL:
            break
        left_out = k
    return left_out


def in_units(seconds: float) -> str:
    """Return seconds as they are read.

    >>> in_units(12.345), in_units(0.0123), in_units(4.2e-5), in_units(3e-8)
    ('12.3 s', '12.3 ms', '42.0 us', '30.0 ns')
    """
    units = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))
    unit, size = next(((unit, size) for unit, size in units if seconds >= size), units[-1])
    value = seconds / size
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
