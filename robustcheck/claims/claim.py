"""A claim: an inequality over mean measures, in the one form in which every test decides it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from robustcheck.claims.expression import Expression, Linear, Quotient, Term, adaptive, number_text
from robustcheck.claims.verdict import CONTRARY, Relation
from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    from robustcheck.notation import View

RELATIONS: tuple[Relation, ...] = (">=", ">", "<=", "<")
MIRRORED: dict[str, Relation] = {">=": "<=", ">": "<", "<=": ">=", "<": ">"}
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Claim:
    """Two expressions and how they compare; made by `compare`, by `parse_claim` or by an estimate's `>=`.

    It states: the mean over the images of sum_k weight_k * measure_k stands in `relation` to `threshold`. Raises
    `RobustcheckError` where that is true, or false, of every model. A quotient is claimed against a number c by
    numerator - c * denominator against 0, which is the same wherever the denominator is above 0; `guard` is
    that denominator, which a test checks.
    """

    left: Expression
    relation: Relation
    right: Linear

    def __post_init__(self) -> None:
        if isinstance(self.left, Quotient) and self.right.weights:
            raise RobustcheckError(
                f"{self.left} compares with a number only, got {self.right}: two quotients, or a quotient and "
                f"a mean, make no linear claim"
            )
        if not all(map(math.isfinite, self.form.range)):
            raise RobustcheckError(f"{self}: the numbers are too large to compare")
        low, high = self.form.range
        truth = str(self._holds_at(low)).lower()
        if not self.form.weights:
            raise RobustcheckError(f"{self} compares no measure: it is {truth} of every model")
        if self._holds_at(low) == self._holds_at(high):
            raise RobustcheckError(
                f"{self} is {truth} of every model: what it compares {self._shown_range()}. "
                f"Give a number that a model can miss"
            )

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}"

    def __repr__(self) -> str:
        return f"<claim {self}>"

    def negated(self) -> Claim:
        """Return the contrary, which `assert not claim` requires."""
        return Claim(self.left, CONTRARY[self.relation], self.right)

    def _holds_at(self, value: float) -> bool:
        """Whether a mean of `form` (which is to be compared with 0) of this value satisfies the claim."""
        slack = _ROUNDING if self.relation in {">=", "<="} else -_ROUNDING
        return value >= -slack if self.upward else value <= slack

    def _shown_range(self) -> str:
        low, high = (number_text(round(end + self.threshold, 12)) for end in self.form.range)
        return f"is always {low}" if low == high else f"lies between {low} and {high}"

    @cached_property
    def form(self) -> Linear:
        """The one sum that is compared with 0, its constant included."""
        if isinstance(self.left, Quotient):
            return self.left.numerator - self.left.denominator * self.right.constant
        return self.left - self.right

    @property
    def threshold(self) -> float:
        """The number that the sum of measures, without constant, is compared with."""
        return -self.form.constant + 0.0

    @property
    def upward(self) -> bool:
        """Whether more is better."""
        return self.relation in {">=", ">"}

    @property
    def strict(self) -> bool:
        """Whether equality is not enough."""
        return self.relation in {">", "<"}

    @property
    def guard(self) -> Linear | None:
        """The denominator that must be clearly above 0 for the claim to mean anything."""
        return self.left.denominator if isinstance(self.left, Quotient) else None

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The measures and views that a test of this claim reads: a column each."""
        return tuple(dict.fromkeys(self.left.terms + self.right.terms))

    @property
    def views(self) -> tuple[View, ...]:
        """The views that must be evaluated."""
        return tuple(dict.fromkeys(view for _, view in self.terms))

    @property
    def blind_to(self) -> dict[View, tuple[str, ...]]:
        """The views measured against an attack that is blind to the defence, with that defence."""
        return {view: view.blind_to for view in self.views if view.blind_to}

    @property
    def adaptive_counterpart(self) -> Claim | None:
        """The same claim of attacks that go through the defences; None where there is none.

        So where an attack can't go through its defence, where none is blind, and where both sides would be the same: a
        blind attack compared with its own counterpart.
        """
        left, right = adaptive(self.left), adaptive(self.right)
        if not self.blind_to or left is None or not isinstance(right, Linear):
            return None
        try:
            return Claim(left, self.relation, right)
        except RobustcheckError:  # no claim: true or false of every model
            return None


def compare(left: Expression, relation: Relation, right: Expression) -> Claim:
    """Return the claim that two expressions stand in a relation; a quotient goes to the left.

    >>> from robustcheck.claims.expression import Linear, recovery
    >>> compare(Linear(constant=0.6), "<=", recovery("JPG(Adv_1)"))
    <claim recovery(JPG(Adv_1)) >= 0.6>
    """
    if isinstance(right, Quotient):
        if isinstance(left, Quotient):
            raise RobustcheckError(
                f"{left} {relation} {right}: a recovery compares with a number only. Where both are from the "
                f"same attack, compare the accuracies"
            )
        return Claim(right, MIRRORED[relation], left)
    return Claim(left, relation, right)
