"""The two sides of a claim: weighted sums of mean measures, and recovery.

`Linear` is such a sum, `Quotient` one sum over another. Both are plain values: the text form and the Python form of
a claim are built from the same two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.notation import View, X, parse
from robustcheck.records.measures import MEASURES

Term = tuple[str, View]
"""A measure by name and the view it is taken on."""

NEGLIGIBLE = 1e-12
"""Weights below this are what floating point leaves of 0.1 + 0.2 - 0.3."""


def number_text(value: float) -> str:
    """Return a number as a claim's text has it: the shortest that reads back as the same.

    >>> number_text(0.8), number_text(2.0)
    ('0.8', '2')
    """
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True)
class Linear:
    """A sum of weighted mean measures and a constant; terms in the order in which they were written."""

    weights: tuple[tuple[Term, float], ...] = ()
    constant: float = 0.0

    @property
    def terms(self) -> tuple[Term, ...]:
        """The measures and views in it."""
        return tuple(term for term, _ in self.weights)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value that one image can give, whatever the model."""
        low = high = self.constant
        for (measure, view), weight in self.weights:
            least = 1.0 if (measure, view) == ("kept", X) else 0.0
            low += min(weight * least, weight)
            high += max(weight * least, weight)
        return low, high

    def __add__(self, other: Linear) -> Linear:
        return total((self, other))

    def __mul__(self, factor: float) -> Linear:
        return Linear(
            tuple((term, weight * factor) for term, weight in self.weights if weight * factor),
            self.constant * factor,
        )

    def __neg__(self) -> Linear:
        return self * -1.0

    def __sub__(self, other: Linear) -> Linear:
        return self + -other

    def __str__(self) -> str:
        parts = [(weight, f"{measure}({view})") for (measure, view), weight in self.weights]
        if self.constant or not parts:
            parts.append((self.constant, ""))
        texts = []
        for weight, name in parts:
            size = number_text(abs(weight))
            shown = size if not name else name if size == "1" else f"{size} * {name}"
            texts.append(f" {'-' if weight < 0 else '+'} {shown}")
        return ("-" if parts[0][0] < 0 else "") + "".join(texts)[3:]


@dataclass(frozen=True)
class Quotient:
    """One sum over another, under the name that it has in a claim."""

    numerator: Linear
    denominator: Linear
    name: str

    @property
    def terms(self) -> tuple[Term, ...]:
        """The measures and views in it."""
        return tuple(dict.fromkeys(self.numerator.terms + self.denominator.terms))

    def __str__(self) -> str:
        return self.name


Expression = Linear | Quotient


def is_binary(measure: str, view: View) -> bool:
    """Whether a measure of a view is 0 or 1 for each image: a mean over draws is not."""
    return MEASURES[measure].binary and not view.draws


def total(parts: Iterable[Linear]) -> Linear:
    """Return the sum of any number of sums, in a time that is linear in their terms."""
    weights: dict[Term, float] = {}
    constant = 0.0
    for part in parts:
        constant += part.constant
        for term, weight in part.weights:
            weights[term] = weights.get(term, 0.0) + weight
    kept = tuple((term, weight) for term, weight in weights.items() if abs(weight) > NEGLIGIBLE)
    return Linear(kept, constant)


def adaptive(expression: Expression) -> Expression | None:
    """Return the same of each blind view's adaptive counterpart, or None where a view has none.

    >>> print(adaptive(mean("accuracy", "JPG(Adv_1)") - mean("accuracy", "x") * 0.8))
    accuracy(JPG(Adv_1[through=JPG])) - 0.8 * accuracy(x)
    """
    if isinstance(expression, Quotient):
        (measure, view), *_ = expression.terms
        counterpart = _counterpart(view)
        return None if counterpart is None else recovery(counterpart, measure)
    found = [Linear(constant=expression.constant)]
    for (measure, view), weight in expression.weights:
        counterpart = _counterpart(view)
        if counterpart is None:
            return None
        found.append(mean(measure, counterpart) * weight)
    return total(found)


def _counterpart(view: View) -> View | None:
    return view.adaptive_counterpart if view.blind_to else view


def mean(measure: str, view: View | str) -> Linear:
    """Return the mean of one measure on one view.

    >>> print(mean("accuracy", "JPG(Adv_1)") - mean("accuracy", "x") * 0.8)
    accuracy(JPG(Adv_1)) - 0.8 * accuracy(x)
    """
    if measure not in MEASURES:
        raise unknown("measure", measure, MEASURES)
    return Linear((((measure, parse(view)), 1.0),))


def recovery(view: View | str, measure: str = "accuracy") -> Quotient:
    """Return the share of what an attack took that the rest of the view gives back.

    For a view V made from the attack A it is (accuracy(V) - accuracy(A)) / (accuracy(x) - accuracy(A)): 0 where
    nothing came back, 1 where all did, below 0 where the rest of the view made it worse. Of several attacks in
    one another, A is the outermost. `measure` is another to take the place of accuracy.

    >>> print(recovery("JPG(Adv_1)").denominator)
    accuracy(x) - accuracy(Adv_1)
    """
    view = parse(view)
    attack = view.attack
    if attack is None:
        raise RobustcheckError(
            f"recovery({view}) has nothing to recover from: {view} is made from no attack. "
            f"Give a view such as JPG(Adv_1)"
        )
    if attack == view:
        raise RobustcheckError(
            f"recovery({view}) is 0 of every model: {view} is the attack itself. "
            f"Give what is made from it, such as JPG({view})"
        )
    left = mean(measure, attack)
    name = f"recovery({view})" if measure == "accuracy" else f"recovery of {measure}({view})"
    return Quotient(mean(measure, view) - left, mean(measure, X) - left, name)
