"""Estimates: what a test holds in its hand, adds up and compares. Printing one explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, overload

from robustcheck.claims.columns import per_image
from robustcheck.claims.comparable import Measured, Source, as_number
from robustcheck.claims.expression import Expression, Linear, Quotient, mean, recovery
from robustcheck.claims.intervals import Interval, clopper_pearson, t_interval
from robustcheck.claims.ratio import Ratio
from robustcheck.errors import RobustcheckError
from robustcheck.records.measures import MEASURES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robustcheck.notation import View


@dataclass(frozen=True, eq=False, repr=False)
class Estimate(Measured):
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
        if isinstance(factor, Measured):
            raise TypeError(
                f"a product of two estimates is no weighted sum: {self.expression} times {factor.expression}"
            )
        number = as_number(factor)
        return NotImplemented if number is None else Estimate(self.source, self.expression * number)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Estimate:
        if isinstance(divisor, Measured):
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

    def __float__(self) -> float:
        return float(self.per_image().mean())

    def __repr__(self) -> str:
        try:
            values = per_image(self.expression, self.expression.terms, self.columns(glance=True))
        except RobustcheckError as error:
            return str(error)
        interval = self._bounds(values)
        about = "" if interval.exact else "about "
        low, high = 100 * interval.low, 100 * interval.high
        value = 100 * float(values.mean())
        return f"{self.expression} = {value:.1f} % ({about}{low:.1f} .. {high:.1f}), n = {len(values)}"

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value that one image can give."""
        return self.expression.range

    @property
    def interval(self) -> Interval:
        """The 95 % interval: Clopper-Pearson's for one 0/1 measure, else an approximate one."""
        return self._bounds(self.per_image())

    def per_image(self) -> NDArray[np.float64]:
        """Return each image's value in image-set order; the estimate is their mean: (n,)."""
        return per_image(self.expression, self.expression.terms, self.columns())

    def _bounds(self, values: NDArray[np.float64]) -> Interval:
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
            self.same_source(other)
            return other.expression
        number = as_number(other)
        return None if number is None else Linear(constant=number)


@overload
def bind(source: Source, expression: Linear) -> Estimate: ...
@overload
def bind(source: Source, expression: Quotient) -> Ratio: ...
def bind(source: Source, expression: Expression) -> Estimate | Ratio:
    """Return the expression as measured by a source."""
    return Ratio(source, expression) if isinstance(expression, Quotient) else Estimate(source, expression)


def estimate_of(source: Source, measure: str, view: View | str) -> Estimate:
    """Return the mean of one measure on one view, as measured by a source."""
    return Estimate(source, mean(measure, view))


def recovery_of(source: Source, view: View | str) -> Ratio:
    """Return the share of what an attack took that the rest of the view gives back, as measured by a source."""
    return Ratio(source, recovery(view))
