"""The sequential test of a mean: whether it reaches a threshold, decided from as few numbers as possible."""

# ruff: noqa: PT028  `test_mean` is no pytest test

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from robustcheck.claims.assisted_bets import AssistedGame, OldValues
from robustcheck.claims.bets import Game, Wealth
from robustcheck.claims.test_spec import TestSpec
from robustcheck.claims.verdict import Assistance, State, Verdict
from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_HALVINGS = 24
_HOPELESS = 10_000_000
"""More images than any set has: the mean is at the threshold."""


def test_mean(
    values: Iterable[float] | Iterable[ArrayLike],
    threshold: float,
    *,
    low: float,
    high: float,
    population: int | None = None,
    alpha: float = 0.05,
    alpha_refute: float = 0.01,
    min_seen: int = 0,
    budget: int | None = None,
    tolerance: float = 0.0,
    chunk: int = 64,
    baseline: ArrayLike | None = None,
) -> Verdict:
    """Return whether the mean of numbers in [low, high] is at least `threshold`, from as few as decide it.

    values: numbers, or arrays of them; read lazily, nothing after the chunk that decides. Given a `population`
    (how many numbers there are), they are drawn from it without replacement, in a random order fixed before,
    and the verdict is about the mean of all of them, exact once all were seen; without one they are independent
    draws. A false claim "holds" with probability at most `alpha`, a true one is "refuted" with at most
    `alpha_refute`, however often the numbers were looked at. `budget` is the most numbers to read,
    `min_seen` the fewest; the error needs none.
    `tolerance` widens the threshold to a grey zone below it in which either answer is right.

    >>> test_mean([1, 1, 1, 0] * 100, 0.5, low=0, high=1).state
    'holds'

    `baseline` makes it far cheaper where few values changed: the `population` old values, in the order in which the new
    ones are read, NaN where one is unknown. **The order must have been drawn after both the old and the new values
    were fixed**, and at random. Then the error is at most `alpha` whatever the old values say: those of another
    model, or random ones, only cost numbers. Old values that were written by someone who knew the order void it.
    `robustcheck.claims.assisted_bets` has the proof and its sources. The verdict's estimate and bounds are those of
    mean(baseline) + mean(new - old), and its `assistance` has the mean of the numbers read alone.

    >>> import numpy as np
    >>> order = np.random.default_rng().permutation(10_000)
    >>> old = (np.arange(10_000) < 5_500)[order]  # 55 % right in the old run
    >>> new = (np.arange(10_000) < 5_400)[order]
    >>> test_mean(new, 0.5, low=0, high=1, population=10_000, baseline=old).seen < 400
    True

    Raises `RobustcheckError` for a threshold outside (low, high), for values outside [low, high], for more of them than
    the population has, and for a baseline without a population or of another size. The method is Waudby-Smith's and
    Ramdas's (JRSS-B 2023).
    """
    if threshold in {low, high}:
        raise RobustcheckError(
            f"threshold must lie between {low:g} and {high:g}, got {threshold:g}: no sample shows a mean at the end "
            f"of its range"
        )
    spec = TestSpec(threshold, low, high, population, alpha, alpha_refute, min_seen, budget, tolerance)
    test = MeanTest(spec, None if baseline is None else OldValues.of(spec, baseline))
    for numbers in _chunks(values, chunk, budget):
        test.update(numbers)
        if test.done:
            break
    return test.verdict()


test_mean.__test__ = False  # type: ignore[attr-defined]  # else pytest collects it where it is imported


class MeanTest:
    """The state of a sequential test between two chunks of numbers.

    >>> test = MeanTest(TestSpec(threshold=0.5, low=0, high=1, population=1000))
    >>> test.update([1.0] * 300)
    >>> test.state, test.seen
    ('holds', 300)
    """

    def __init__(self, spec: TestSpec, old: OldValues | None = None) -> None:
        self.spec = spec
        self.old = old
        """Old values that assist, scaled to [0, 1] as the numbers are."""
        self.state: State = "not shown"
        self.wealth: Wealth = Wealth.start() if old is None else AssistedGame.start()
        self._total = 0.0
        self._chunks: list[NDArray[np.float64]] = []
        self.seen: int = 0
        """The count of numbers taken."""

    @property
    def decided(self) -> bool:
        """Whether the claim holds or is refuted."""
        return self.state != "not shown"

    @property
    def done(self) -> bool:
        """Whether it takes no more numbers: decided, or the population or the budget is used up."""
        return self.decided or self.seen >= self.spec.max_seen

    def update(self, numbers: ArrayLike) -> None:
        """Take a chunk of numbers, up to the budget; (n,) in [low, high].

        Once decided, more numbers narrow the bounds; only a certain answer still changes the state. Raises
        `RobustcheckError` for numbers outside the range or beyond the population.
        """
        numbers = np.asarray(numbers, dtype=np.float64).reshape(-1)
        if self.spec.population is not None and self.seen + len(numbers) > self.spec.population:
            raise RobustcheckError(f"more numbers than the population of {self.spec.population}")
        if self.spec.budget is not None:
            numbers = numbers[: self.spec.budget - self.seen]
        if len(numbers):
            self._add(self.spec.scaled(numbers, after=self.seen))
            self._judge()

    def _add(self, values: NDArray[np.float64]) -> None:
        self.wealth = self._updated(self.wealth, values, self.seen, self._total)
        self._chunks.append(values)
        self.seen += len(values)
        self._total += float(values.sum())

    @property
    def _values(self) -> NDArray[np.float64]:
        """All numbers taken, scaled to [0, 1]: (seen,)."""
        self._chunks = [np.concatenate([np.empty(0), *self._chunks])]
        return self._chunks[0]

    def _updated(self, wealth: Wealth, values: NDArray[np.float64], seen: int, total: float) -> Wealth:
        game = self._game(self.spec.game)
        if not self.spec.tolerance:
            return game.after(wealth, values, seen, total, up=True, down=True)
        relaxed = self._game(self.spec.relaxed)
        wealth = relaxed.after(wealth, values, seen, total, up=True, down=False)
        return game.after(wealth, values, seen, total, up=False, down=True)

    def _game(self, plain: Game) -> Game | AssistedGame:
        return plain if self.old is None else AssistedGame(plain, self.old)

    def _judge(self) -> None:
        certain = self._certain()
        if certain is not None:
            self.state = "holds" if certain else "refuted"
        elif not self.decided and self.seen >= min(self.spec.min_seen, self.spec.max_seen):
            if self.wealth.best_down >= -math.log(self.spec.alpha_refute):
                self.state = "refuted"
            elif self.wealth.best_up >= -math.log(self.spec.alpha):
                self.state = "holds"

    def _certain(self) -> bool | None:
        return self.spec.relaxed.certain(self.seen, self._total, strict=self.spec.strict)

    @property
    def estimate(self) -> float:
        """The mean of the numbers taken; NaN before the first.

        With old values, their mean over the population plus the mean of what changed, as far as that is possible.
        """
        if not self.seen:
            return math.nan
        if self.old is None:
            return self._unscaled(self._total / self.seen)
        assisted = self.old.mean + (self._total - self.old.before(self.seen)) / self.seen
        return self._unscaled(min(max(assisted, self._possible[0]), self._possible[1]))

    @property
    def _possible(self) -> tuple[float, float]:
        """The least and the greatest mean that the numbers taken allow, scaled to [0, 1]."""
        population = self.spec.population
        if population is None:
            return 0.0, 1.0
        least = self._total / population
        return least, least + (population - self.seen) / population

    @property
    def assistance(self) -> Assistance | None:
        """How old values assist; None where there are none."""
        if self.old is None:
            return None
        seen = max(self.seen, 1)
        churn = self.old.churn(self._values)
        return Assistance(self._unscaled(self._total / seen), churn, self.old.coverage)

    def _unscaled(self, value: float) -> float:
        return self.spec.low + value * (self.spec.high - self.spec.low)

    def bounds(self) -> tuple[float, float]:
        """Return bounds of the mean, valid wherever the test stopped, by inverting the test.

        The mean lies below the first with probability at most `alpha`, above the second with probability at
        most `alpha_refute`. Both are the mean itself once the population was seen.
        """
        least, most = self._possible
        if self.seen == self.spec.population:
            return self.estimate, self.estimate
        low = self._edge(least, most, up=True) if self.seen else least
        high = self._edge(most, least, up=False) if self.seen else most
        if low > high:  # both bettors won in turn: an order as good as impossible, and the decision stays
            low = high = low if self.state == "holds" else high
        return self._unscaled(low), self._unscaled(high)

    def _edge(self, near: float, far: float, *, up: bool) -> float:
        """Return the last mean that is refuted, from one end of the possible means towards the other."""
        needed = -math.log(self.spec.alpha if up else self.spec.alpha_refute)
        values = self._values
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            evidence = self._game(self.spec.game_at(self._unscaled(middle))).evidence(values, up=up)
            near, far = (middle, far) if evidence >= needed else (near, middle)
        return near

    def needed(self) -> int | None:
        """Return about how many more numbers decide it; None where it is decided, or where no number would.

        n = (1.6 + 2.3 ln(1/alpha)) variance / margin**2, which is 8.5 at 0.05 and 12.2 at 0.01, over 1 + n/N: the
        mean over many tests. An unlucky one that is past it reports a quarter of it again.
        """
        if self.decided or not self.seen:
            return None
        population = self.spec.population or math.inf
        left = population - self.seen
        margin = (self.estimate - self.spec.threshold) / (self.spec.high - self.spec.low)
        variance = float(self._values.var())
        if self.old is not None:
            variance = min(variance, float((self._values - self.old.values[: self.seen]).var()))
        variance = max(variance, 1 / self.seen**2)
        alpha = self.spec.alpha if margin > 0 else self.spec.alpha_refute
        n = (1.6 - 2.3 * math.log(alpha)) * variance / max(margin**2, 1e-12)
        n /= 1 + n / population
        more = min(left, max(n - self.seen, n / 4, 1))
        return math.ceil(more) if more < _HOPELESS else None

    def verdict(self) -> Verdict:
        """Return the verdict so far."""
        low, high = self.bounds()
        estimate = self.estimate if self.old is None else min(max(self.estimate, low), high)
        certain = self._certain()
        evidence = (_exp(self.wealth.best_up), _exp(self.wealth.best_down))
        if certain is not None:
            evidence = (math.inf, 0.0) if certain else (0.0, math.inf)
        return Verdict(
            self.state,
            seen=self.seen,
            population=self.spec.population,
            estimate=estimate,
            low=low,
            high=high,
            evidence_for=evidence[0],
            evidence_against=evidence[1],
            needed=self.needed(),
            alpha=self.spec.alpha,
            alpha_refute=self.spec.alpha_refute,
            threshold=self.spec.threshold,
            relation=">" if self.spec.strict else ">=",
            tolerance=self.spec.tolerance,
            about="testset" if self.spec.population is not None else "population",
            exact=self.seen == self.spec.population,
            assistance=None if self.seen == self.spec.population else self.assistance,
        )


def _exp(logarithm: float) -> float:
    return math.exp(min(logarithm, 700.0))


def _chunks(
    values: Iterable[float] | Iterable[ArrayLike], size: int, budget: int | None
) -> Iterator[NDArray[np.float64]]:
    """Yield arrays: those given, or numbers by `size`; of numbers no more than the budget are drawn."""
    numbers = iter(values)
    left = math.inf if budget is None else budget
    for first in numbers:
        if np.ndim(first):
            yield np.asarray(first, dtype=np.float64)
        else:
            take = int(min(size, left))
            left -= take
            yield np.array([first, *islice(numbers, take - 1)], dtype=np.float64)
