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
    options: dict[str, Any] = {"alpha": alpha, "alpha_refute": alpha_refute, "budget": budget}
    options |= {"min_seen": min_seen, "tolerance": tolerance}
    test = ClaimTest(claim, population, about=about, old=old, **options)
    tables = []
    for draw in draws:
        tables.append(test.update(draw))
        if test.seen > population:
            raise RobustcheckError(f"{claim}: drew {test.seen} images of a set of {population}")
        if test.done or test.seen == population:
            break
    seen = np.concatenate([np.empty((0, len(claim.terms))), *tables])
    if about == "testset" and len(seen) == population:
        return decide_exact(claim, seen, alpha=alpha, tolerance=tolerance)
    if not len(seen):
        raise RobustcheckError(f"{claim}: there are no images to decide it on")
    return _stopped(claim, seen, test.mean, test.guard, images=population, old=old)


class ClaimTest:
    """The sequential test of a claim between two draws: of its mean, and of a recovery's denominator, its `guard`.

    images: the size of the set. old: (images, len(claim.terms)), as `decide_early` has it. `options` are those of a
    `TestSpec`: alpha, alpha_refute, min_seen, budget, tolerance.
    """

    def __init__(
        self,
        claim: Claim,
        images: int,
        *,
        about: About = "testset",
        old: NDArray[np.float64] | None = None,
        **options: Any,
    ) -> None:
        finite = images if about == "testset" else None
        options["min_seen"] = min(options.get("min_seen", 0), images)
        self.claim = claim
        spec = spec_for(claim, population=finite, **options)
        self.mean: MeanTest = _assisted(spec, None if old is None else oriented(claim, old))
        self.guard: MeanTest | None = None
        if claim.guard is not None:
            self.guard = _assisted(
                TestSpec(LEAST_TAKEN, *claim.guard.range, finite, **options | {"tolerance": 0.0}),
                None if old is None else per_image(claim.guard, claim.terms, old),
            )

    @property
    def seen(self) -> int:
        """The number of images taken."""
        return self.mean.seen

    @property
    def done(self) -> bool:
        """Whether it takes no more images: all is decided, or the population or the budget is used up."""
        return self.mean.done and (self.guard is None or self.guard.done)

    @property
    def decided(self) -> bool:
        """Whether the images taken decide the claim, or refuse a recovery of next to nothing."""
        return self.mean.decided and (self.guard is None or self.guard.decided)

    def update(self, draw: ArrayLike) -> NDArray[np.float64]:
        """Take the measures of more images, and return those that the budget allows: (k, len(claim.terms))."""
        claim, budget = self.claim, self.mean.spec.budget
        table = as_columns(claim.terms, draw)[: None if budget is None else budget - self.seen]
        self.mean.update(oriented(claim, table))
        if self.guard is not None and claim.guard is not None:
            self.guard.update(per_image(claim.guard, claim.terms, table))
        return table


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
