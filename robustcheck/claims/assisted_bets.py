"""Bets that old values of the same images help to place: far fewer images where little changed, the same error bound.

Of N images each has a new value y_i, of which the claim is about the mean, and an old value o_i, known of all of them
before the first new one is read. The numbers z_i = y_i - o_i + mean(o) have the same mean as the y_i. Where few
predictions changed they hardly vary, and bets on them grow much faster.

*Validity.* Let y and o be any numbers in [0, 1], fixed before the order p, a random permutation that depends on
neither, is drawn. F_t is what is known once t images were read: p_1 .. p_t, their y and o, and mean(o). At the
boundary mean(y) = m, so sum(z) = N m, and p_(t+1) is any of the images not read with equal probability:

    E[z_p(t+1) | F_t] = (N m - z_p(1) - ... - z_p(t)) / (N - t) = fair_t

A bet multiplies its wealth by 1 + s_t (z_p(t+1) - fair_t). Its stake s_t is computed from F_t and is so small that the
factor is never negative. So E[factor | F_t] = 1, the wealth is a nonnegative martingale that starts at 1, and so is
every average of such wealths: half is bet on z, half on y, where the same holds with o = 0. For a mean below m the
factors of a bettor on "above" have expectations below 1, and the wealth is a supermartingale. By Ville's inequality
it ever reaches 1/alpha with probability at most alpha.

Nothing was assumed of o but that it was fixed before p: where it is wrong, z varies more, which costs images and
never the bound. Two things would void it. An o that depends on p: old values of 0 for the first 2,000 images of
a known order and of 1 for the others make any claim hold. And a stake that depends on o_p(t+1), the old value of
the image that is about to be read: given it, fair_t is not the expected value.

*Stakes.* Of 0/1 values y - o is -1, 0 or 1. Against three such points, with a share c of changed values and a margin d,
the wealth grows fastest with a stake of about d / (c + d^2). This lies between 0.1 and 1 for margins from 1 to 10 points
and churns from 1 to 10 %, so eight stakes cover this range, each 0.7 of the one before. They need about a tenth fewer
images than the stakes for y, from 0.9 down by halves, which also cover far smaller ones.

Stark: *ALPHA: audit that learns from previously hand-audited ballots* (arXiv 2201.02707); Spertus: *COBRA:
comparison-optimal betting for risk-limiting audits* (2304.01010), for the bets on three points; Csillag et al.:
*Prediction-powered e-values* (2502.04294).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from robustcheck.claims.bets import COUNT, EQUAL, Game, Wealth
from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from robustcheck.claims.test_spec import TestSpec

LARGEST, RATIO = 0.97, 0.5**0.5


@dataclass(frozen=True, eq=False)
class OldValues:
    """The old values of a whole population, in the order in which its new values are read."""

    values: NDArray[np.float64]  # (N,) in [0, 1]
    unknown: NDArray[np.bool_] | None = None  # (N,)
    """Of which numbers no old value is known: they have the mean of the others. None: of none."""
    _sums: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", np.concatenate([[0.0], np.cumsum(self.values)]))

    @classmethod
    def of(cls, spec: TestSpec, baseline: ArrayLike) -> OldValues:
        """Return old values in [low, high] as a test takes them, NaN where one is unknown: (population,).

        Raises `RobustcheckError` for a test without a population, another number of values, and one out of range.
        """
        old = np.asarray(baseline, dtype=np.float64)
        if spec.population is None:
            raise RobustcheckError(
                "a baseline needs a population: give population=N, and the N old values in the order in which the new "
                "ones are read"
            )
        if old.shape != (spec.population,):
            raise RobustcheckError(
                f"baseline must have an old value for each of the population of {spec.population}, NaN where one is "
                f"unknown, got shape {old.shape}"
            )
        known = ~np.isnan(old)
        scaled = np.full(len(old), 0.5)
        scaled[known] = spec.scaled(old[known], name="baseline")
        scaled[~known] = scaled[known].mean() if known.any() else 0.5
        return cls(scaled, None if known.all() else ~known)

    @property
    def coverage(self) -> float:
        """The share of the population of which an old value is known."""
        return 1.0 if self.unknown is None else 1.0 - float(self.unknown.mean())

    def churn(self, values: NDArray[np.float64]) -> float:
        """Return which share of new values, from the first on, is not the old one, where that is known: (n,)."""
        changed = np.abs(values - self.values[: len(values)]) > EQUAL
        known = changed if self.unknown is None else changed[~self.unknown[: len(values)]]
        return float(known.mean()) if len(known) else 0.0

    @cached_property
    def mean(self) -> float:
        """The mean of the population's old values."""
        return self.before(len(self.values)) / len(self.values)

    def before(self, seen: int) -> float:
        """Return the sum of the first `seen` old values."""
        return float(self._sums[seen])


@dataclass(frozen=True)
class AssistedGame:
    """A game with half of the wealth on the values, and half on what they differ from old values by."""

    plain: Game
    old: OldValues

    @staticmethod
    def start() -> Wealth:
        """Return the wealth before the first number."""
        return Wealth.start(2 * COUNT)

    @property
    def mean(self) -> float:
        """The mean that the bets are about."""
        return self.plain.mean

    @property
    def differences(self) -> Game:
        """The bets on (y - o + 1) / 2, which lies in [0, 1]."""
        return Game((self.plain.mean - self.old.mean + 1) / 2, self.plain.population, LARGEST, RATIO)

    def after(
        self, wealth: Wealth, values: NDArray[np.float64], seen: int, total: float, *, up: bool, down: bool
    ) -> Wealth:
        """Return the wealth of one bettor, or of both, after more new values; as `Game.after`."""
        old = self.old.values[seen : seen + len(values)]
        difference = (values - old + 1) / 2
        before = (total - self.old.before(seen) + seen) / 2
        pairs = zip(
            self.plain.growth(values, seen, total, up=up, down=down),
            self.differences.growth(difference, seen, before, up=up, down=down),
            strict=True,
        )
        return wealth.grown(*(_joined(one, other) for one, other in pairs))

    def evidence(self, values: NDArray[np.float64], *, up: bool) -> float:
        """Return the logarithm of the most that one bettor ever had; as `Game.evidence`."""
        wealth = self.after(self.start(), values, 0, 0.0, up=up, down=not up)
        return wealth.best_up if up else wealth.best_down

    def certain(self, seen: int, total: float, *, strict: bool) -> bool | None:
        """Return whether the new values alone leave no doubt; as `Game.certain`."""
        return self.plain.certain(seen, total, strict=strict)


def _joined(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Return the growth of both halves; one that does not play keeps what it has."""
    if one is None and other is None:
        return None
    shape = (COUNT, (one if one is not None else other).shape[1])  # type: ignore[union-attr]
    return np.concatenate([np.zeros(shape) if each is None else each for each in (one, other)])
