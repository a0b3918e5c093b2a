"""A claim evaluated on a table of measures: a row per image, a column per measure and view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from robustcheck.claims.bets import EQUAL
from robustcheck.claims.claim import Claim
from robustcheck.claims.expression import Linear, Quotient, Term
from robustcheck.claims.test_spec import TestSpec
from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_SPILL = 1e-6
"""How far a softmax in float32 may exceed 1."""


def as_columns(terms: tuple[Term, ...], columns: ArrayLike) -> NDArray[np.float64]:
    """Return the table as float64 (n, terms), or raise for a value outside [0, 1]."""
    table = np.asarray(columns, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(terms):
        raise RobustcheckError(
            f"expected a column for each of {len(terms)} measures, got shape {table.shape}"
        )
    wrong = ~((table >= -_SPILL) & (table <= 1 + _SPILL))
    if wrong.any():
        row, column = (int(at[0]) for at in np.nonzero(wrong))
        measure, view = terms[column]
        raise RobustcheckError(
            f"{measure}({view}) must lie in [0, 1], got {table[row, column]} for image {row}"
        )
    return np.clip(table, 0.0, 1.0)


def per_image(
    expression: Linear, terms: tuple[Term, ...], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return an expression's value for each image, from columns in the order of `terms`: (n, terms) -> (n,)."""
    weights = dict(expression.weights)
    vector = np.array([weights.get(term, 0.0) for term in terms])
    return cast("NDArray[np.float64]", columns @ vector + expression.constant)


def quantity(claim: Claim, table: NDArray[np.float64]) -> float:
    """Return the mean that the verdict is about: the quotient, or the measures without the constant."""
    if isinstance(claim.left, Quotient):
        numerator, denominator = (
            float(per_image(part, claim.terms, table).mean())
            for part in (claim.left.numerator, claim.left.denominator)
        )
        return numerator / denominator if denominator else float("nan")
    return float(per_image(Linear(claim.form.weights), claim.terms, table).mean())


def assisted_quantity(claim: Claim, table: NDArray[np.float64], old: NDArray[np.float64]) -> float:
    """Return `quantity` of the old measures of all images plus what changed on those seen.

    table: (n, terms) of the images seen; old: (N, terms) of all, in the same order, NaN where one is unknown: what is
    unknown has the mean of what is known.
    """
    counts = np.maximum((~np.isnan(old)).sum(axis=0), 1)
    known = np.where(np.isnan(old), np.nansum(old, axis=0) / counts, old)
    means = known.mean(axis=0) + (table - known[: len(table)]).mean(axis=0)
    return quantity(claim, means[None, :])


def spec_for(claim: Claim, *, population: int | None, **rest: Any) -> TestSpec:
    """Return the test that the claim's mean, turned so that more is better, reaches its threshold."""
    low, high = _upward_form(claim).range
    threshold = claim.threshold if claim.upward else -claim.threshold
    near = [end for end in (low, high) if abs(threshold - end) < EQUAL * (high - low)]
    threshold = near[0] if near else threshold
    return TestSpec(threshold, low, high, population, strict=claim.strict, **rest)


def oriented(claim: Claim, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each image's value for the test of `spec_for`: (n, terms) -> (n,)."""
    return per_image(_upward_form(claim), claim.terms, table)


def _upward_form(claim: Claim) -> Linear:
    return Linear(claim.form.weights) * (1.0 if claim.upward else -1.0)


def threshold_of(claim: Claim) -> float:
    """Return the number that `quantity` is compared with."""
    return claim.right.constant if isinstance(claim.left, Quotient) else claim.threshold


def comparison_fields(claim: Claim, table: NDArray[np.float64]) -> dict[str, Any]:
    """Return the fields of a verdict that say what was compared."""
    means = dict(zip(claim.terms, table.mean(axis=0).tolist(), strict=True))
    parts = tuple((f"{measure}({view})", mean) for (measure, view), mean in means.items())
    sides = None
    if isinstance(claim.left, Linear):
        if claim.left.constant or claim.right.weights:
            sides = (_mean(claim.left, means), _mean(claim.right, means))
        if all([weight for _, weight in side.weights] in ([], [1]) for side in (claim.left, claim.right)):
            parts = ()
    return {
        "claim": str(claim),
        "relation": claim.relation,
        "threshold": threshold_of(claim),
        "sides": sides,
        "parts": parts,
        "percent": True,
    }


def _mean(expression: Linear, means: dict[Term, float]) -> float:
    return sum(weight * means[term] for term, weight in expression.weights) + expression.constant
