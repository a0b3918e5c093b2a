"""A pilot: claims are made of a few images and noted for a forecast, and none is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from robustcheck.claims.claim import Claim
from robustcheck.claims.columns import as_columns, comparison_fields, quantity
from robustcheck.claims.decider import Decider, no_counterpart
from robustcheck.claims.decisions import ClaimTest
from robustcheck.claims.expression import Term, mean
from robustcheck.claims.forecast import Question
from robustcheck.claims.holm import family_alpha
from robustcheck.claims.policy import ClaimSettings
from robustcheck.claims.regression import RegressionTest
from robustcheck.claims.verdict import Verdict
from robustcheck.notation import View

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PilotDecider(Decider):
    """Decides nothing: each claim gets a verdict of "not shown" that counts as true, so that a test goes on to its next."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.questions: list[Question] = []
        """In the order in which they were asked."""
        self.read: dict[View, None] = {}
        """The views whose numbers were read on all images."""

    def sample(self, terms: Sequence[Term]) -> NDArray[np.float64]:
        """Return the measures of the pilot's images, which in a run would be those of every image."""
        self.read.update(dict.fromkeys(view for _, view in terms))
        return super().sample(terms)

    def decide(self, claim: Claim, settings: ClaimSettings | None = None) -> Verdict:
        """Note a claim; a comparison in a test without settings."""
        verdict = self._noted(claim, settings or ClaimSettings(), is_compared=settings is None)
        self.report(claim, verdict)
        return verdict

    def decide_family(self, claims: Sequence[tuple[Claim, ClaimSettings]]) -> list[Verdict]:
        """Note claims that are decided jointly."""
        each = family_alpha(len(claims), self.policy.alpha)
        return [self._noted(claim, replace(own, alpha=each)) for claim, own in claims]

    def decide_regression(
        self, measure: str, view: View, old: NDArray[np.float64], *, tolerance: float
    ) -> Verdict:
        """Note a comparison with the baseline; old: (n,), the baseline's values of the pilot's images."""
        expression = mean(measure, view)
        new = super().sample(expression.terms)[:, 0]
        name, policy = f"{measure}({view})", self.policy
        options = {"alpha": policy.alpha, "budget": policy.budget, "min_seen": policy.min_images}
        start = partial(_regression_test, tolerance, self.image_count, options)
        start(None)  # raises for a tolerance that is not allowed
        verdict = self._verdict(
            float((new - old).mean()),
            len(new),
            claim=f"{name} - {name} of the baseline >= {-tolerance:g}",
            threshold=-tolerance,
            parts=(("now", float(new.mean())), ("baseline", float(old.mean()))),
            percent=True,
            on_truth=self._on_truth,
        )
        self.questions.append(
            Question(
                verdict,
                verdict.claim or "",
                expression.terms,
                np.column_stack([new, old]),
                np.array([[0.0, 1.0], [1.0, 0.0]]),
                start,
                is_paired=True,
            )
        )
        self.report(view, verdict)
        return verdict

    def _noted(self, claim: Claim, settings: ClaimSettings, *, is_compared: bool = False) -> Verdict:
        asked = [claim]
        if claim.blind_to and self.policy.require_adaptive:
            if claim.adaptive_counterpart is None:
                raise no_counterpart(claim)
            asked.append(claim.adaptive_counterpart)
        tables = [as_columns(each.terms, super(PilotDecider, self).sample(each.terms)) for each in asked]
        verdict = self._verdict(
            quantity(claim, tables[0]),
            len(tables[0]),
            alpha=self.policy.alpha if settings.alpha is None else settings.alpha,
            tolerance=settings.tolerance,
            about=settings.about,
            on_truth=self._on_truth if is_compared else None,
            **comparison_fields(claim, tables[0]),
        )
        for each, table in zip(asked, tables, strict=True):
            start = partial(_claim_test, each, self.image_count, self._options(verdict))
            start(None)  # raises for a claim that can't be tested
            self.questions.append(Question(verdict, str(each), each.terms, table, _extremes(each), start))
        return verdict

    def _options(self, verdict: Verdict) -> dict[str, Any]:
        return {
            "about": verdict.about,
            "alpha": verdict.alpha,
            "tolerance": verdict.tolerance,
            "budget": self.policy.budget,
            "min_seen": self.policy.min_images,
        }

    def _verdict(self, estimate: float, seen: int, **facts: Any) -> Verdict:
        return Verdict(
            "not shown",
            seen=seen,
            population=self.image_count,
            estimate=estimate,
            low=estimate,
            high=estimate,
            evidence_for=1.0,
            evidence_against=1.0,
            undecided="true",
            **facts,
        )


def _claim_test(
    claim: Claim, population: int, options: dict[str, Any], old: NDArray[np.float64] | None
) -> ClaimTest:
    return ClaimTest(claim, population, old=old if options["about"] == "testset" else None, **options)


def _regression_test(
    tolerance: float, population: int, options: dict[str, Any], old: NDArray[np.float64] | None
) -> RegressionTest:
    return RegressionTest(tolerance, population, None if old is None else old[:, 0], **options)


def _extremes(claim: Claim) -> NDArray[np.float64]:
    """Return the measures with the least, and the greatest, value of what is claimed: (2, terms)."""
    weights = dict(claim.form.weights)
    is_high = np.array([weights.get(term, 0.0) > 0 for term in claim.terms])
    return np.array([~is_high, is_high], dtype=np.float64)
