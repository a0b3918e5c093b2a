"""From a claim and what was measured to a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robustcheck.claims.bets import EQUAL
from robustcheck.claims.claim import Claim
from robustcheck.claims.columns import as_columns, per_image, quantity, told
from robustcheck.claims.expression import Linear, Quotient
from robustcheck.claims.ratio_bounds import ratio_bounds
from robustcheck.claims.recovery import LEAST_TAKEN, check_denominator, refusal
from robustcheck.claims.sequential import MeanTest
from robustcheck.claims.test_spec import Rules
from robustcheck.claims.verdict import About, Verdict
from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def decide_exact(claim: Claim, columns: ArrayLike, *, alpha: float = 0.05, tolerance: float = 0.0) -> Verdict:
    """Return the verdict once every image of the set was seen: no error is left in it.

    columns: (n, len(claim.terms)), a row per image. A mean within `tolerance` of the threshold holds too; of a
    recovery that is numerator - c * denominator within it of 0, so in points of accuracy. Raises
    `RobustcheckError` for values that can't be measures, and for a recovery where the attack took next to
    nothing.
    """
    table = as_columns(claim.terms, columns)
    if not len(table):
        raise RobustcheckError(f"{claim}: there are no images to decide it on")
    check_denominator(claim, table)
    rules = rules_for(claim, population=len(table), alpha=alpha, tolerance=tolerance)
    total = float(rules.scaled(oriented(claim, table)).sum())
    holds = bool(rules.lenient.certain(len(table), total, strict=claim.strict))
    estimate = quantity(claim, table)
    return Verdict(
        "holds" if holds else "refuted",
        seen=len(table),
        population=len(table),
        estimate=estimate,
        low=estimate,
        high=estimate,
        evidence_for=math.inf if holds else 0.0,
        evidence_against=0.0 if holds else math.inf,
        alpha=alpha,
        tolerance=tolerance,
        exact=True,
        **told(claim, table),
    )


def rules_for(claim: Claim, *, population: int | None, **rest: Any) -> Rules:
    """Return the rules of the test that the claim's mean, turned so that more is better, reaches its threshold."""
    form = Linear(claim.form.weights) * _sign(claim)
    low, high = form.range
    threshold = claim.threshold * _sign(claim)
    near = [end for end in (low, high) if abs(threshold - end) < EQUAL * (high - low)]
    threshold = near[0] if near else threshold
    return Rules(threshold, low, high, population, strict=claim.strict, **rest)


def oriented(claim: Claim, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each image's value for the test of `rules_for`: (n, terms) -> (n,)."""
    return per_image(Linear(claim.form.weights) * _sign(claim), claim.terms, table)


def _sign(claim: Claim) -> float:
    return 1.0 if claim.upward else -1.0


def decide_early(
    claim: Claim,
    draws: Iterable[ArrayLike],
    population: int,
    *,
    alpha: float = 0.05,
    alpha_refute: float = 0.01,
    min_seen: int = 256,
    budget: int | None = None,
    tolerance: float = 0.0,
    about: About = "testset",
) -> Verdict:
    """Return the verdict from as few images as decide it; the error is at most alpha wherever it stops.

    draws: tables (k, len(claim.terms)) of the images in a random order fixed before, whatever the set's own
    order; read lazily, none after the table that decides. `population` is how many images the set has. About
    the "testset" the verdict is exact once all were seen; about the "population" that they come from it is not,
    and may be "not shown" when they end. A recovery is decided once its denominator is shown to be above
    `robustcheck.claims.recovery.LEAST_TAKEN` too; where that is refuted it raises `RobustcheckError`.
    """
    finite = population if about == "testset" else None
    options = {"alpha": alpha, "alpha_refute": alpha_refute, "min_seen": min(min_seen, population)}
    rules = rules_for(claim, population=finite, tolerance=tolerance, budget=budget, **options)
    test = MeanTest(rules)
    guard = None if claim.guard is None else MeanTest(_guard_rules(claim.guard, finite, budget, options))
    tables = []
    for draw in draws:
        table = as_columns(claim.terms, draw)[: None if budget is None else budget - test.seen]
        tables.append(table)
        test.update(oriented(claim, table))
        if guard is not None and claim.guard is not None:
            guard.update(per_image(claim.guard, claim.terms, table))
        if test.seen > population:
            raise RobustcheckError(f"{claim}: drew {test.seen} images of a set of {population}")
        if (test.done and (guard is None or guard.done)) or test.seen == population:
            break
    seen = np.concatenate([np.empty((0, len(claim.terms))), *tables])
    if about == "testset" and len(seen) == population:
        return decide_exact(claim, seen, alpha=alpha, tolerance=tolerance)
    if not len(seen):
        raise RobustcheckError(f"{claim}: there are no images to decide it on")
    return _stopped(claim, seen, test, guard, population)


def _guard_rules(
    denominator: Linear, population: int | None, budget: int | None, options: dict[str, Any]
) -> Rules:
    low, high = denominator.range
    return Rules(LEAST_TAKEN, low, high, population, budget=budget, **options)


def _stopped(
    claim: Claim, seen: NDArray[np.float64], test: MeanTest, guard: MeanTest | None, images: int
) -> Verdict:
    """Return the verdict on a claim that was not tested on every image, in the claim's own terms."""
    notes: tuple[str, ...] = ()
    verdict = test.verdict()
    state, needed = verdict.state, verdict.needed
    low, high = (verdict.low, verdict.high) if claim.upward else (-verdict.high, -verdict.low)
    if guard is not None and isinstance(claim.left, Quotient):
        if guard.state == "refuted":
            raise refusal(claim.left, claim.terms, seen)
        if guard.state == "not shown":
            state, needed = "not shown", max(needed or 0, guard.needed() or 0) or None
            notes = (f"what the attack took is not yet shown to be above {100 * LEAST_TAKEN:g} points",)
        low, high = ratio_bounds(claim.left, claim.terms, seen, test.rules, upward=claim.upward)
    return replace(
        verdict,
        state=state,
        estimate=quantity(claim, seen),
        low=low,
        high=high,
        needed=needed,
        population=images,
        notes=notes,
        **told(claim, seen),
    )
