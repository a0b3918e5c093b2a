"""Estimates: what a test adds up and compares. Printing one explains it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from robustcheck.claims.claim import Claim, compare
from robustcheck.claims.columns import as_columns, per_image
from robustcheck.claims.expression import Expression, Linear, Quotient, is_binary
from robustcheck.claims.intervals import Interval, clopper_pearson, t_interval
from robustcheck.claims.recovery import FARTHEST, check_quotient, edge
from robustcheck.claims.verdict import Relation, Verdict
from robustcheck.errors import RobustcheckError
from robustcheck.text import interval, percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robustcheck.claims.decider import Decider


_Operator = Callable[[Any, object], NoReturn]


@dataclass(frozen=True, eq=False, repr=False)
class Comparable:
    """An expression over the images of a source: compares by `>=`, `>`, `<=` and `<`, each a claim."""

    source: Decider
    expression: Expression

    __array_ufunc__: ClassVar[None] = None
    """Keeps numpy from making an array of estimates of `array * estimate`."""

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __ge__(self, other: Comparable | float) -> Verdict:
        return self._decide(">=", other)

    def __gt__(self, other: Comparable | float) -> Verdict:
        return self._decide(">", other)

    def __le__(self, other: Comparable | float) -> Verdict:
        return self._decide("<=", other)

    def __lt__(self, other: Comparable | float) -> Verdict:
        return self._decide("<", other)

    def __eq__(self, other: object) -> NoReturn:
        raise self._no_equality()

    def __ne__(self, other: object) -> NoReturn:
        raise self._no_equality()

    def __bool__(self) -> NoReturn:
        short = self._short()
        raise TypeError(
            f"{self.expression} has no truth value: did you mean to compare it, as in `{short} >= 0.5`?"
        )

    def __float__(self) -> float:
        return self._point(self._columns())

    def __repr__(self) -> str:
        try:
            columns = self._columns(glance=True)
            point, bounds = self._point(columns), self._bounds(columns)
        except RobustcheckError as error:
            return str(error)
        about = "" if bounds.exact else "about "
        shown = f"{percent(point)} ({about}{interval(bounds.low, bounds.high)})"
        return f"{self.expression} = {shown}, n = {len(columns)}"

    def __format__(self, spec: str) -> str:
        return format(float(self), spec) if spec else repr(self)

    @property
    def interval(self) -> Interval:
        """The 95 % interval, over images like these."""
        return self._bounds(self._columns())

    @property
    def low(self) -> float:
        """The lower end of `interval`."""
        return self.interval.low

    @property
    def high(self) -> float:
        """The upper end of `interval`."""
        return self.interval.high

    def _point(self, columns: NDArray[np.float64]) -> float:
        """Return the value over some images; columns: (n, terms)."""
        raise NotImplementedError

    def _bounds(self, columns: NDArray[np.float64]) -> Interval:
        """Return the 95 % interval from some images; columns: (n, terms)."""
        raise NotImplementedError

    def _columns(self, *, glance: bool = False) -> NDArray[np.float64]:
        """Return the measures of all images, or at a glance of those already evaluated: (n, terms)."""
        terms = self.expression.terms
        columns = self.source.peek(terms) if glance else self.source.sample(terms)
        if columns is None or not len(columns):
            what = "no image was evaluated yet" if glance else "there are no images to measure it on"
            raise RobustcheckError(f"{self.expression}: {what}")
        return as_columns(terms, columns)

    def _require_same_source(self, other: Comparable) -> None:
        """Raise where the other was measured by another evaluation."""
        if self.source is not other.source:
            raise RobustcheckError(
                f"{self.expression} and {other.expression} come from two evaluations: only estimates of one "
                f"model on one image set compare image by image"
            )

    def claim(self, relation: Relation, other: object) -> Claim:
        """Return what the comparison with a number or another estimate claims; decides nothing."""
        right: Expression
        if isinstance(other, Comparable):
            self._require_same_source(other)
            right = other.expression
        else:
            number = _as_number(other)
            if number is None:
                raise TypeError(f"{self.expression} compares with numbers and estimates, got {other!r}")
            right = Linear(constant=number)
        return compare(self.expression, relation, right)

    def _decide(self, relation: Relation, other: object) -> Verdict:
        return self.source.decide(self.claim(relation, other))

    def _no_equality(self) -> TypeError:
        return TypeError(
            f"{self.expression} compares by >=, >, <= and <: an estimate is never just a number. "
            f"Did you mean `float({self._short()}) == pytest.approx(...)`?"
        )

    def _short(self) -> str:
        text = str(self.expression)
        return text if len(text) <= 40 else "estimate"


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
        number = _as_number(factor)
        return NotImplemented if number is None else Estimate(self.source, self.expression * number)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Estimate:
        if isinstance(divisor, Comparable):
            raise TypeError(
                f"{self.expression} / {divisor.expression}: a quotient of estimates is no weighted sum. "
                f"Write left >= number * right, or use recovery"
            )
        number = _as_number(divisor)
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
            case Linear(weights=(((measure, view), 1.0),), constant=0.0) if is_binary(measure, view):
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
        number = _as_number(other)
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

    __add__: ClassVar[_Operator] = _no_arithmetic
    __radd__: ClassVar[_Operator] = _no_arithmetic
    __sub__: ClassVar[_Operator] = _no_arithmetic
    __rsub__: ClassVar[_Operator] = _no_arithmetic
    __mul__: ClassVar[_Operator] = _no_arithmetic
    __rmul__: ClassVar[_Operator] = _no_arithmetic
    __truediv__: ClassVar[_Operator] = _no_arithmetic
    __rtruediv__: ClassVar[_Operator] = _no_arithmetic

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


def _as_number(value: object) -> float | None:
    """Return a finite real number as a float, None for what is no number; raise for NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if not math.isfinite(value):
        raise RobustcheckError(f"an estimate combines with finite numbers only, got {value!r}")
    return float(value)
