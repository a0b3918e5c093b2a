"""One estimate over another: what recovery is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from robustcheck.claims.columns import per_image
from robustcheck.claims.comparable import Measured
from robustcheck.claims.expression import Quotient
from robustcheck.claims.intervals import Interval, t_interval
from robustcheck.claims.recovery import check_quotient
from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FARTHEST = 16.0
"""A ratio beyond this is told as unbounded."""


@dataclass(frozen=True, eq=False, repr=False)
class Ratio(Measured):
    """One estimate over another, such as a recovery; it compares with numbers by `>=`, `>`, `<=` and `<`.

    Every number it gives, its verdicts too, is refused by a `RobustcheckError` that shows the numbers where
    the denominator is not clearly above 0 (see `robustcheck.claims.recovery`).
    """

    expression: Quotient

    def __float__(self) -> float:
        numerator, denominator = self._values()
        return float(numerator.mean() / denominator.mean())

    def __repr__(self) -> str:
        try:
            numerator, denominator = self._values(glance=True)
        except RobustcheckError as error:
            return str(error)
        interval = self._bounds(numerator, denominator)
        value = 100 * float(numerator.mean() / denominator.mean())
        low, high = 100 * interval.low, 100 * interval.high
        return f"{self.expression} = {value:.1f} % (about {low:.1f} .. {high:.1f}), n = {len(numerator)}"

    @property
    def interval(self) -> Interval:
        """The approximate 95 % interval: the ratios c for which numerator - c * denominator may be 0."""
        return self._bounds(*self._values())

    def _no_arithmetic(self, _other: object) -> NoReturn:
        raise TypeError(f"{self.expression} compares with a number; it is no part of a sum or product")

    __add__ = __radd__ = __sub__ = __rsub__ = _no_arithmetic
    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _no_arithmetic

    def _values(self, *, glance: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return numerator and denominator of each image: (n,) and (n,)."""
        columns = self.columns(glance=glance)
        form, terms = self.expression, self.expression.terms
        check_quotient(form, terms, columns)
        return per_image(form.numerator, terms, columns), per_image(form.denominator, terms, columns)

    def _bounds(self, numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> Interval:
        def linear(ratio: float) -> Interval:
            form = self.expression.numerator - self.expression.denominator * ratio
            return t_interval(numerator - ratio * denominator, *form.range)

        point = float(numerator.mean() / denominator.mean())
        low = edge(lambda ratio: linear(ratio).low > 0, point, -FARTHEST)
        high = edge(lambda ratio: linear(ratio).high < 0, point, FARTHEST)
        return Interval(low, high, exact=False, method="t, inverted")


def edge(excluded: Callable[[float], bool], inside: float, outside: float, *, steps: int = 40) -> float:
    """Return where `excluded` begins on the way from a point inside to one outside, by bisection.

    The point returned is not excluded; infinite where the one outside is not excluded either.
    """
    if not excluded(outside):
        return math.copysign(math.inf, outside - inside)
    for _ in range(steps):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if excluded(middle) else (middle, outside)
    return inside
