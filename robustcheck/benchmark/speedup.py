"""The speedup of one function over another, from interleaved rounds, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb
from statistics import median

from robustcheck.benchmark.arguments import checked_count
from robustcheck.errors import RobustcheckError

LEVEL = 0.95
FEWEST_ROUNDS = 6
"""With fewer, even the interval from the smallest to the largest is below this level."""


@dataclass(frozen=True)
class Speedup:
    """The speedup of ours over theirs, from interleaved rounds: in each, both were timed, in random order.

    Each round gives a ratio, theirs / ours; `ratio` is their median, above 1 if ours is faster. `ratio_low` to
    `ratio_high` is a 95 % interval of that median, by order statistics: it assumes no distribution, only that a round
    lies above the median as often as below, whatever the others did. What slows down both at once does not move it. For
    two functions that take equally long the random order ensures this on any machine, however its speed changes
    from round to round: the interval then contains 1 with a probability of at least 95 %. It is about this process on
    this machine; another process may differ by more.
    """

    ours: tuple[float, ...]
    """Seconds per call, round by round."""
    theirs: tuple[float, ...]
    device: str = "cpu"
    """The device, in words."""

    def __post_init__(self) -> None:
        if len(self.ours) != len(self.theirs):
            raise RobustcheckError(
                f"ours and theirs must have as many rounds, got {len(self.ours)} and {len(self.theirs)}"
            )
        check_rounds(len(self.ours))

    @cached_property
    def ratios(self) -> tuple[float, ...]:
        """Theirs / ours of each round."""
        pairs = zip(self.ours, self.theirs, strict=True)
        return tuple(theirs / ours if ours > 0 else float("inf") for ours, theirs in pairs)

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def ratio_low(self) -> float:
        """The lower end of the median's interval."""
        return sorted(self.ratios)[left_out(len(self.ratios))]

    @property
    def ratio_high(self) -> float:
        """The upper end of the median's interval."""
        return sorted(self.ratios)[-1 - left_out(len(self.ratios))]

    @property
    def numbers(self) -> dict[str, float | list[float]]:
        """What is stored beside the times of ours."""
        ends = {"ratio_low": self.ratio_low, "ratio_high": self.ratio_high}
        return {"ratio": self.ratio, **ends, "theirs": [*self.theirs]}

    def __bool__(self) -> bool:
        raise TypeError("a speedup is neither true nor false: did you mean ratio_low >= 1?")

    def __repr__(self) -> str:
        return (
            f"<ours {in_units(median(self.ours))}, theirs {in_units(median(self.theirs))} per call: "
            f"speedup {self.ratio:.3g}, {self.ratio_low:.3g} .. {self.ratio_high:.3g} "
            f"at 95 % over {len(self.ours)} interleaved rounds, on {self.device}>"
        )


def check_rounds(rounds: object) -> int:
    """Return a number of rounds; raises `RobustcheckError` for one that gives no interval."""
    return checked_count("rounds", rounds, f", for a {LEVEL:.0%} interval of the median", least=FEWEST_ROUNDS)


def left_out(count: int) -> int:
    """Return how many of `count` values a `LEVEL` interval of the median leaves out on either side.

    With k left out, the median is below all others with the chance that at most k of `count` fair coins show heads.

    >>> left_out(6), left_out(9), left_out(25)
    (0, 1, 7)
    """
    below, number = 0, 0
    for k in range(count // 2):
        below += comb(count, k)
        if 1 - 2 * below / 2**count < LEVEL:
            break
        number = k
    return number


def in_units(seconds: float) -> str:
    """Return seconds as text.

    >>> in_units(12.345), in_units(0.0123), in_units(4.2e-5), in_units(3e-8)
    ('12.3 s', '12.3 ms', '42.0 us', '30.0 ns')
    """
    units = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))
    unit, size = next(((unit, size) for unit, size in units if seconds >= size), units[-1])
    value = seconds / size
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
