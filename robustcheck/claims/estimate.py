"""Estimates: what a test adds up and compares. Printing one explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from robustcheck.claims.columns import per_image
from robustcheck.claims.comparable import Comparable, as_number
from robustcheck.claims.expression import Linear, Quotient
from robustcheck.claims.intervals import Interval, clopper_pearson, t_interval
from robustcheck.claims.recovery import FARTHEST, check_quotient, edge
from robustcheck.errors import RobustcheckError
from robustcheck.records.measures import MEASURES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, repr=False)
class Estimate(Comparable):
    """A weighted sum of mean measures over the images of a source, paired by image.

    Add, subtract and scale it; compare it with a number or another estimate by `>=`, `>`, `<=` or `<`, which
    gives a `Verdict`. `float()` is the point over all images, `low` and `high` bound it at 95 % as a sample of
    images like these.
    """

    expression: Linear

    def __add__(self, other: Estimate | float) -> Estimate:
        addend = self._addend(other)
        return NotImplemented if addend is None else Estimate(self.source, self.expression + addend)

    __radd__ = __add__

    def __sub__(self, other: Estimate | float) -> Estimate:
        addend = self._addend(other)
        return NotImplemented if addend is None else Estimate(self.source, self.expression - addend)

    def __rsub__(self, other: float) -> Estimate:
        addend = self._addend(other)
        return NotImplemented if addend is None else Estimate(self.source, addend - self.expression)

    def __mul__(self, factor: float) -> Estimate:
        if isinstance(factor, Comparable):
            raise TypeError(
                f"a product of two estimates is no weighted sum: {self.expression} times {factor.expression}"
            )
        number = as_number(factor)
        return NotImplemented if number is None else Estimate(self.source, self.expression * number)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Estimate:
        if isinstance(divisor, Comparable):
            raise TypeError(
                f"{self.expression} / {divisor.expression}: a quotient of estimates is no weighted sum. "
                f"Write left >= number * right, or use recovery"
            )
        number = as_number(divisor)
        if number == 0:
            raise RobustcheckError(f"{self.expression} is divided by 0")
        return NotImplemented if number is None else Estimate(self.source, self.expression * (1 / number))

    def __rtruediv__(self, dividend: float) -> NoReturn:
        raise TypeError(f"{dividend} / {self.expression}: a quotient by an estimate is no weighted sum")

    def __neg__(self) -> Estimate:
        return Estimate(self.source, -self.expression)

    def __pos__(self) -> Estimate:
        return self

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value that one image can give."""
        return self.expression.range

    def per_image(self) -> NDArray[np.float64]:
        """Return each image's value in image-set order; the estimate is their mean: (n,)."""
        return self._values(self._columns())

    def _values(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return per_image(self.expression, self.expression.terms, columns)

    def _point(self, columns: NDArray[np.float64]) -> float:
        return float(self._values(columns).mean())

    def _bounds(self, columns: NDArray[np.float64]) -> Interval:
        """Return Clopper-Pearson's interval for one 0/1 measure, else an approximate one."""
        values = self._values(columns)
        match self.expression:
            case Linear(weights=(((measure, _), 1.0),), constant=0.0) if MEASURES[measure].binary:
                return clopper_pearson(round(float(values.sum())), len(values))
            case form:
                return t_interval(values, *form.range)

    def _addend(self, other: object) -> Linear | None:
        """Return what is to be added, or None where Python should ask the other side."""
        if isinstance(other, Ratio):
            raise TypeError(
                f"{other.expression} compares with a number; it can't be added to other estimates"
            )
        if isinstance(other, Estimate):
            self._require_same_source(other)
            return other.expression
        number = as_number(other)
        return None if number is None else Linear(constant=number)


@dataclass(frozen=True, eq=False, repr=False)
class Ratio(Comparable):
    """One estimate over another, such as a recovery; it compares with numbers by `>=`, `>`, `<=` and `<`.

    Every number it gives, its verdicts too, is refused by a `RobustcheckError` that shows the numbers where
    the denominator is not clearly above 0 (see `robustcheck.claims.recovery`).
    """

    expression: Quotient

    def _no_arithmetic(self, _other: object) -> NoReturn:
        raise TypeError(f"{self.expression} compares with a number; it is no part of a sum or product")

    __add__ = __radd__ = __sub__ = __rsub__ = _no_arithmetic
    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _no_arithmetic

    def _values(self, columns: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return numerator and denominator of each image: (n,) and (n,)."""
        form, terms = self.expression, self.expression.terms
        check_quotient(form, terms, columns)
        return per_image(form.numerator, terms, columns), per_image(form.denominator, terms, columns)

    def _point(self, columns: NDArray[np.float64]) -> float:
        numerator, denominator = self._values(columns)
        return float(numerator.mean() / denominator.mean())

    def _bounds(self, columns: NDArray[np.float64]) -> Interval:
        """Return the approximate interval: the ratios c for which numerator - c * denominator may be 0."""
        numerator, denominator = self._values(columns)

        def linear(ratio: float) -> Interval:
            form = self.expression.numerator - self.expression.denominator * ratio
            return t_interval(numerator - ratio * denominator, *form.range)

        point = float(numerator.mean() / denominator.mean())
        low = edge(lambda ratio: linear(ratio).low > 0, point, -FARTHEST)
        high = edge(lambda ratio: linear(ratio).high < 0, point, FARTHEST)
        return Interval(low, high, exact=False, method="t, inverted")
