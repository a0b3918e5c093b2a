"""Betting on the mean of bounded numbers: evidence that it is at least c, or below, valid wherever one stops.

Two bettors start with wealth 1 and bet on every number before they see it: one that the mean is above c, one that
it is below. Where the mean is exactly c both games are fair, so neither wealth ever reaches 1/alpha with a
probability above alpha (Ville): a wealth that does is evidence, however often one looked. Each bettor spreads
its wealth over eight bets, large to small, so that margins of any size are found soon.

Without replacement from a finite population the fair price changes with what was seen: of N numbers that sum to
N c, with t seen that sum to S, the others have the mean (N c - S)/(N - t).

Waudby-Smith, Ramdas: *Estimating means of bounded random variables by betting*, JRSS-B 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNT = 8
"""Bets of one bettor."""
EQUAL = 1e-9
"""Sums that differ by less, per number of the population, are equal: floats say no more."""


@dataclass(frozen=True)
class Wealth:
    """Both bettors' logarithmic wealth against one mean, and its maximum so far."""

    up: NDArray[np.float64]  # (bets,)
    down: NDArray[np.float64]  # (bets,)
    best_up: float = 0.0
    best_down: float = 0.0

    @staticmethod
    def start(bets: int = COUNT) -> Wealth:
        """Return the wealth before the first number: the same on each bet."""
        even = np.full(bets, -math.log(bets))
        return Wealth(even, even)

    def grown(self, up: NDArray[np.float64] | None, down: NDArray[np.float64] | None) -> Wealth:
        """Return the wealth after more numbers; up, down: (bets, n), each bet's logarithmic growth, or None for none."""
        log_up, best_up = (self.up, self.best_up) if up is None else _updated(self.up, up, self.best_up)
        log_down, best_down = (
            (self.down, self.best_down) if down is None else _updated(self.down, down, self.best_down)
        )
        return Wealth(log_up, log_down, best_up, best_down)


@dataclass(frozen=True)
class Game:
    """Bets that the mean of numbers in [0, 1] is above, or below, `mean`.

    `population` is the size of the population, drawn without replacement; None with replacement.
    """

    mean: float
    population: int | None
    largest: float = 0.9
    """The largest bet, as a fraction of the one that could lose everything."""
    ratio: float = 0.5
    """Of each bet to the next larger one."""

    def after(
        self, wealth: Wealth, values: NDArray[np.float64], seen: int, total: float, *, up: bool, down: bool
    ) -> Wealth:
        """Return the wealth of one bettor, or of both, after more numbers.

        values: (n,) in [0, 1]; `seen` and `total` are the count and the sum of those before.
        """
        return wealth.grown(*self.growth(values, seen, total, up=up, down=down))

    def growth(
        self, values: NDArray[np.float64], seen: int, total: float, *, up: bool, down: bool
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
        """Return by how much each number multiplies each bet, as logarithms: (8, n) of one bettor, or of both.

        None for a bettor that does not play, and for one whose mean is at the end of the range.
        """
        fair, scale = self._prices(values, seen, total)  # (n,), (n,)
        open_ = (fair > 0) & (fair < 1)
        fair = np.where(open_, fair, 0.5)
        gain = np.where(open_, values - fair, 0.0)
        bets = self.largest * self.ratio ** np.arange(float(COUNT))[:, None]  # (8, 1)
        log_up = log_down = None
        if up and self.mean > 0:
            log_up = np.log1p(np.minimum(bets / self.mean * scale, self.largest / fair) * gain)
        if down and self.mean < 1:
            log_down = np.log1p(-np.minimum(bets / (1 - self.mean) * scale, self.largest / (1 - fair)) * gain)
        return log_up, log_down

    def evidence(self, values: NDArray[np.float64], *, up: bool) -> float:
        """Return the logarithm of the most that one bettor ever had over numbers from the first on: (n,)."""
        wealth = self.after(Wealth.start(), values, 0, 0.0, up=up, down=not up)
        return wealth.best_up if up else wealth.best_down

    def _prices(
        self, values: NDArray[np.float64], seen: int, total: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, before each number, its expected value at the boundary, and how much a number tells of the rest."""
        if self.population is None:
            return np.full(len(values), self.mean), np.ones(len(values))
        before = total + np.cumsum(values) - values  # (n,)
        remaining = self.population - seen - np.arange(len(values))  # (n,)
        return (self.population * self.mean - before) / remaining, self.population / remaining

    def certain(self, seen: int, total: float, *, strict: bool) -> bool | None:
        """Return whether the mean is at least (strictly: above) `mean`, where the numbers left can't change it."""
        if self.population is None:
            return None
        needed = self.population * self.mean
        slack = EQUAL * self.population * (1 if strict else -1)
        if total >= needed + slack:
            return True
        return False if total + self.population - seen < needed + slack else None


def _updated(
    logs: NDArray[np.float64], steps: NDArray[np.float64], best: float
) -> tuple[NDArray[np.float64], float]:
    """Return each bet's wealth after the steps, and the best that their sum ever was: (b,), (b, n) -> (b,)."""
    paths = logs[:, None] + np.cumsum(steps, axis=1)  # (b, n)
    top = paths.max(axis=0)
    sums = top + np.log(np.exp(paths - top).sum(axis=0))
    return paths[:, -1].copy(), max(best, float(sums.max()))
