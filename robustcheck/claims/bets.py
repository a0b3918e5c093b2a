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

BETS = 0.9 * 0.5 ** np.arange(8.0)[:, None]  # (8, 1), as a fraction of the bet that could lose everything
EQUAL = 1e-9
"""Sums that differ by less, per number of the population, are equal: floats say no more."""


@dataclass(frozen=True)
class Wealth:
    """Both bettors' logarithmic wealth against one mean, and its maximum so far."""

    up: NDArray[np.float64]  # (8,)
    down: NDArray[np.float64]  # (8,)
    best_up: float = 0.0
    best_down: float = 0.0

    @staticmethod
    def start() -> Wealth:
        """Return the wealth before the first number: an eighth on each bet."""
        even = np.full(len(BETS), -math.log(len(BETS)))
        return Wealth(even, even)


@dataclass(frozen=True)
class Game:
    """Bets that the mean of numbers in [0, 1] is above, or below, `mean`.

    `population` is the size of the population, drawn without replacement; None with replacement.
    """

    mean: float
    population: int | None

    def after(
        self, wealth: Wealth, values: NDArray[np.float64], seen: int, total: float, *, up: bool, down: bool
    ) -> Wealth:
        """Return the wealth of one bettor, or of both, after more numbers.

        values: (n,) in [0, 1]; `seen` and `total` are the count and the sum of those before.
        """
        fair, scale = self._prices(values, seen, total)  # (n,), (n,)
        open_ = (fair > 0) & (fair < 1)
        fair = np.where(open_, fair, 0.5)
        gain = np.where(open_, values - fair, 0.0)
        log_up, log_down, best_up, best_down = wealth.up, wealth.down, wealth.best_up, wealth.best_down
        if up and self.mean > 0:
            bets = np.minimum(BETS / self.mean * scale, 0.9 / fair)  # (8, n)
            log_up, best_up = _updated(log_up, np.log1p(bets * gain), best_up)
        if down and self.mean < 1:
            bets = np.minimum(BETS / (1 - self.mean) * scale, 0.9 / (1 - fair))
            log_down, best_down = _updated(log_down, np.log1p(-bets * gain), best_down)
        return Wealth(log_up, log_down, best_up, best_down)

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
    """Return each bet's wealth after the steps, and the best that their sum ever was: (8,), (8, n) -> (8,)."""
    paths = logs[:, None] + np.cumsum(steps, axis=1)  # (8, n)
    top = paths.max(axis=0)
    sums = top + np.log(np.exp(paths - top).sum(axis=0))
    return paths[:, -1].copy(), max(best, float(sums.max()))
