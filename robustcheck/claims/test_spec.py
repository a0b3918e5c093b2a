"""The specification of a sequential test: what it tests, and when it may stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from robustcheck.claims.bets import Game
from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPILL = 1e-9
"""How far rounding may push a number out of its range, relative to the range."""


@dataclass(frozen=True)
class TestSpec:
    """The specification, fixed before the first number is seen.

    The claim is mean >= threshold (`strict`: mean > threshold) of numbers in [low, high].

    Of a finite `population` the numbers are drawn without replacement, in an order that does not depend on
    them; without one they are drawn independently. `alpha` bounds the probability of "holds" for a false claim,
    `alpha_refute` that of "refuted" for a true one. No stop before `min_seen` numbers (a certain answer apart),
    none after `budget`. In the grey zone, up to `tolerance` below the threshold, either answer is right.
    Raises `RobustcheckError` where these can't be tested.
    """

    __test__: ClassVar[bool] = False  # else pytest collects it where it is imported

    threshold: float
    low: float
    high: float
    population: int | None = None
    alpha: float = 0.05
    alpha_refute: float = 0.01
    min_seen: int = 0
    budget: int | None = None
    tolerance: float = 0.0
    strict: bool = False

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.low, self.high))) or self.low >= self.high:
            raise RobustcheckError(
                f"low must be less than high, and both finite, got [{self.low}, {self.high}]"
            )
        self._check_threshold()
        if not 0 <= self.tolerance < max(self.threshold - self.low, 1e-300):
            raise RobustcheckError(
                f"tolerance must be >= 0 and < {self.threshold - self.low:g}, got {self.tolerance:g}: with more, every "
                f"mean passes"
            )
        for name in ("alpha", "alpha_refute"):
            if not 0 < getattr(self, name) < 1:
                raise RobustcheckError(
                    f"{name} must be a probability between 0 and 1, got {getattr(self, name)}"
                )
        for name, least in (("population", 1), ("budget", 1), ("min_seen", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise RobustcheckError(f"{name} must be >= {least}, got {value}")

    def _check_threshold(self) -> None:
        inside = self.low < self.threshold < self.high
        reachable = self.threshold == (self.low if self.strict else self.high)
        if not inside and not reachable:
            raise RobustcheckError(
                f"threshold must lie between {self.low:g} and {self.high:g}, got {self.threshold:g}: every mean of such "
                f"numbers reaches it, or none"
            )
        if not inside and self.population is None:
            raise RobustcheckError(
                f"a mean at the end of its range ({self.threshold:g} of [{self.low:g}, {self.high:g}]) can't be "
                f"shown of a population from a sample: claim a little less"
            )

    @property
    def max_seen(self) -> float:
        """The maximum number of values that a test may take."""
        return min(self.population or math.inf, self.budget or math.inf)

    @property
    def game(self) -> Game:
        """The bets on a mean above, or below, the threshold."""
        return self.game_at(self.threshold)

    @property
    def relaxed(self) -> Game:
        """The bets on a mean above the grey zone's lower end."""
        return self.game_at(self.threshold - self.tolerance)

    def scaled(
        self, numbers: NDArray[np.float64], *, after: int = 0, name: str = "values"
    ) -> NDArray[np.float64]:
        """Return numbers between 0 and 1, or raise for one that is outside of the range.

        `after` is how many came before, and `name` what they are, for the message.
        """
        scaled = (numbers - self.low) / (self.high - self.low)
        wrong = ~((scaled >= -_SPILL) & (scaled <= 1 + _SPILL))
        if wrong.any():
            at = int(wrong.argmax())
            raise RobustcheckError(
                f"{name} must lie in [{self.low:g}, {self.high:g}], got {numbers[at]} as number {after + at + 1}"
            )
        return np.clip(scaled, 0.0, 1.0)

    def game_at(self, mean: float) -> Game:
        """The bets against another mean."""
        return Game(min(1.0, max(0.0, (mean - self.low) / (self.high - self.low))), self.population)
