"""One claim decided on measures that are given: exactly, on all images, or early, on no more than it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robustcheck.claims.assisted_bets import OldValues
from robustcheck.claims.claim import Claim
from robustcheck.claims.columns import (
    as_columns,
    assisted_quantity,
    comparison_fields,
    oriented,
    per_image,
    quantity,
    spec_for,
)
from robustcheck.claims.expression import Quotient
from robustcheck.claims.recovery import LEAST_TAKEN, check_quotient, ratio_bounds, refusal
from robustcheck.claims.sequential import MeanTest
from robustcheck.claims.test_spec import TestSpec
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
    if isinstance(claim.left, Quotient):
        check_quotient(claim.left, claim.terms, table)
    spec = spec_for(claim, population=len(table), alpha=alpha, tolerance=tolerance)
    total = float(spec.scaled(oriented(claim, table)).sum())
    holds = bool(spec.relaxed.certain(len(table), total, strict=claim.strict))
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
        **comparison_fields(claim, table),
    )


def decide_early(
    claim: Claim,
    draws: Iterable[ArrayLike],
    population: int,
    *,
    alpha: float = 0.05,
    alpha_refute: float = 0.01,
    min_seen: int = 0,
    budget: int | None = None,
    tolerance: float = 0.0,
    about: About = "testset",
    old: NDArray[np.float64] | None = None,
) -> Verdict:
    """Return the verdict from as few images as decide it; the error is at most alpha wherever it stops.

    draws: tables (k, len(claim.terms)) of the images in a random order fixed before, whatever the set's own
    order; read lazily, none after the table that decides. `population` is how many images the set has. About
    the "testset" the verdict is exact once all were seen; about the "population" that they come from it is not,
    and may be "not shown" when they end. A recovery is decided once its denominator is shown to be above
    `robustcheck.claims.recovery.LEAST_TAKEN` too; where that is refuted it raises `RobustcheckError`.

    old: (population, len(claim.terms)), an earlier run's measures of all images in the order of the draws, NaN where one
    is unknown. They help to decide about the "testset", if the order was drawn after they were fixed: see
    `robustcheck.claims.assisted_bets`.
    """
    finite = population if about == "testset" else None
    options: dict[str, Any] = {"alpha": alpha, "alpha_refute": alpha_refute, "budget": budget}
    options["min_seen"] = min(min_seen, population)
    test = _assisted(
        spec_for(claim, population=finite, tolerance=tolerance, **options),
        None if old is None else oriented(claim, old),
    )
    denominator, guard = claim.guard, None
    if denominator is not None:
        guard = _assisted(
            TestSpec(LEAST_TAKEN, *denominator.range, finite, **options),
            None if old is None else per_image(denominator, claim.terms, old),
        )
    tables = []
    for draw in draws:
        table = as_columns(claim.terms, draw)[: None if budget is None else budget - test.seen]
        tables.append(table)
        test.update(oriented(claim, table))
        if guard is not None and denominator is not None:
            guard.update(per_image(denominator, claim.terms, table))
        if test.seen > population:
            raise RobustcheckError(f"{claim}: drew {test.seen} images of a set of {population}")
        if (test.done and (guard is None or guard.done)) or test.seen == population:
            break
    seen = np.concatenate([np.empty((0, len(claim.terms))), *tables])
    if about == "testset" and len(seen) == population:
        return decide_exact(claim, seen, alpha=alpha, tolerance=tolerance)
    if not len(seen):
        raise RobustcheckError(f"{claim}: there are no images to decide it on")
    return _stopped(claim, seen, test, guard, images=population, old=old)


def _assisted(spec: TestSpec, old: NDArray[np.float64] | None) -> MeanTest:
    """Return the test, with the help of old values (N,) if there are any."""
    return MeanTest(spec, None if old is None else OldValues.of(spec, old))


def _stopped(
    claim: Claim,
    seen: NDArray[np.float64],
    test: MeanTest,
    guard: MeanTest | None,
    *,
    images: int,
    old: NDArray[np.float64] | None,
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
        low, high = ratio_bounds(claim.left, claim.terms, seen, test.spec, upward=claim.upward, old=old)
    estimate, assistance = quantity(claim, seen), verdict.assistance
    if assistance is not None and old is not None:
        assistance = replace(assistance, sample_mean=estimate)
        estimate = min(max(assisted_quantity(claim, seen, old), low), high)
    return replace(
        verdict,
        state=state,
        estimate=estimate,
        low=low,
        high=high,
        assistance=assistance,
        needed=needed,
        population=images,
        notes=notes,
        **comparison_fields(claim, seen),
    )
