"""An expression together with what measures it: what estimates and ratios have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, NoReturn, Protocol

from robustcheck.claims.claim import Claim, compare
from robustcheck.claims.columns import as_columns
from robustcheck.claims.expression import Expression, Linear, Term
from robustcheck.claims.verdict import Relation, Verdict
from robustcheck.errors import RobustcheckError
from robustcheck.text import interval, percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robustcheck.claims.intervals import Interval


class Source(Protocol):
    """What measures and decides: see `robustcheck.claims.decider`."""

    def sample(self, terms: Sequence[Term]) -> NDArray[np.float64]:
        """Return the measures of every image, in image-set order: (n, len(terms))."""

    def peek(self, terms: Sequence[Term]) -> NDArray[np.float64] | None:
        """Return those of the images evaluated so far; None where there are none. Evaluates nothing."""

    def decide(self, claim: Claim) -> Verdict:
        """Return the verdict on a claim."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparable:
    """An expression over the images of a source: compares by `>=`, `>`, `<=` and `<`, each a claim."""

    source: Source
    expression: Expression

    __array_ufunc__ = None
    """Keeps numpy from making an array of estimates of `array * estimate`."""

    __hash__ = None  # type: ignore[assignment]

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

    def _decide(self, relation: Relation, other: object) -> Verdict:
        right: Expression
        if isinstance(other, Comparable):
            self._require_same_source(other)
            right = other.expression
        else:
            number = as_number(other)
            if number is None:
                raise TypeError(f"{self.expression} compares with numbers and estimates, got {other!r}")
            right = Linear(constant=number)
        return self.source.decide(compare(self.expression, relation, right))

    def _no_equality(self) -> TypeError:
        return TypeError(
            f"{self.expression} compares by >=, >, <= and <: an estimate is never just a number. "
            f"Did you mean `float({self._short()}) == pytest.approx(...)`?"
        )

    def _short(self) -> str:
        text = str(self.expression)
        return text if len(text) <= 40 else "estimate"


def as_number(value: object) -> float | None:
    """Return a finite real number as a float, None for what is no number; raise for NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if not math.isfinite(value):
        raise RobustcheckError(f"an estimate combines with finite numbers only, got {value!r}")
    return float(value)
