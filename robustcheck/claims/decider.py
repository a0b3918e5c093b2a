"""From claims to verdicts: on all images, or on no more than it takes.

A `Decider` takes the measures from a model as it needs them, by the policy of a run, and decides each claim by
`robustcheck.claims.decisions`: it also holds claims against adaptive attacks, looks at other seeds where they may
decide, and decides families jointly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from robustcheck.claims.claim import Claim
from robustcheck.claims.columns import per_image
from robustcheck.claims.decisions import decide_early, decide_exact
from robustcheck.claims.expression import Term, mean
from robustcheck.claims.holm import family_alpha, holm
from robustcheck.claims.policy import ClaimSettings, DecisionPolicy
from robustcheck.claims.regression import no_regression, no_regression_early
from robustcheck.claims.verdict import BESIDE_MARK, Verdict
from robustcheck.errors import ClaimFailed, RobustcheckError
from robustcheck.notation import View
from robustcheck.records.old_run import OldRun
from robustcheck.text import percent
from robustcheck.user_code import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

Subject = Claim | View
"""What a verdict is about: a claim, or a view that was compared with the baseline."""


class Measurements(Protocol):
    """Measures of one model on one image set, taken when they are asked for.

    Tables are float64 (n, len(terms)): a row per image, a column per measure and view.
    """

    @property
    def image_count(self) -> int:
        """The size of the image set."""

    def sample(self, terms: Sequence[Term]) -> NDArray[np.float64]:
        """Return the measures of every image, in image-set order."""

    def peek(self, terms: Sequence[Term]) -> NDArray[np.float64] | None:
        """Return those of the images evaluated so far; None where there are none. Evaluates nothing."""

    def draws(
        self, terms: Sequence[Term], budget: int | None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Yield rows of the set and their measures, batch after batch, in a random order fixed before."""

    def reseeded(self, terms: Sequence[Term]) -> tuple[int, NDArray[np.float64]]:
        """Evaluate every image again with another seed; return that seed and the measures."""


class Decider:
    """Decides claims about one model on one image set.

    `on_verdict` is called with each verdict, and with the claim, or the view, that it is about; `on_truth` with the
    verdict on a comparison whenever its truth value is asked for. `old_run` helps to decide claims where the policy stops
    early; the measurements' order must have been drawn after it was fixed.
    """

    def __init__(
        self,
        measurements: Measurements,
        policy: DecisionPolicy | None = None,
        on_verdict: Callable[[Subject, Verdict], None] = lambda _subject, _verdict: None,
        on_truth: Callable[[Verdict], bool | None] | None = None,
        old_run: OldRun | None = None,
    ) -> None:
        self.policy: DecisionPolicy = policy or DecisionPolicy()
        self._old_run = old_run
        self._measurements = measurements
        self._on_verdict = on_verdict
        self._on_truth = on_truth

    @property
    def image_count(self) -> int:
        """The size of the set that claims are about."""
        return self._measurements.image_count

    def sample(self, terms: Sequence[Term]) -> NDArray[np.float64]:
        """Return the measures of every image, in image-set order: (N, len(terms))."""
        return self._measurements.sample(terms)

    def peek(self, terms: Sequence[Term]) -> NDArray[np.float64] | None:
        """Return those of the images evaluated so far; None where there are none."""
        return self._measurements.peek(terms)

    def decide(self, claim: Claim, settings: ClaimSettings | None = None) -> Verdict:
        """Return the verdict on a claim.

        Without settings it is a comparison in a test, whose verdict, if not shown, is neither true nor false.
        """
        verdict = self._decide(claim, settings or ClaimSettings())
        if settings is None:
            verdict = self._compared(verdict)
        self.report(claim, verdict)
        return verdict

    def decide_family(self, claims: Sequence[tuple[Claim, ClaimSettings]]) -> list[Verdict]:
        """Decide claims so that those that hold do so jointly, with an error of at most the policy's alpha (Holm)."""
        alpha = self.policy.alpha
        each = family_alpha(len(claims), alpha)
        return holm([self._decide(claim, replace(own, alpha=each)) for claim, own in claims], alpha=alpha)

    def decide_regression(
        self, measure: str, view: View, old: NDArray[np.float64], *, tolerance: float
    ) -> Verdict:
        """Return whether a measure fell by at most `tolerance`; old: (N,), an earlier run's, in image-set order."""
        terms, policy = mean(measure, view).terms, self.policy
        name = f"{measure}({view})"
        if policy.stop_early:
            pairs = (
                np.column_stack([new, old[rows]])
                for rows, new in self._measurements.draws(terms, policy.budget)
            )
            verdict = self._named(
                no_regression_early(
                    pairs,
                    self._measurements.image_count,
                    tolerance=tolerance,
                    name=name,
                    alpha=policy.alpha,
                    budget=policy.budget,
                    min_seen=policy.min_images,
                    baseline=None if self._old_run is None else old[self._old_run.order],
                )
            )
        else:
            verdict = no_regression(self.sample(terms)[:, 0], old, tolerance=tolerance, name=name)
        blind_to = {view: view.blind_to} if view.blind_to else {}
        verdict = self._compared(self._marked(verdict, blind_to, terms))
        self.report(view, verdict)
        return verdict

    def _compared(self, verdict: Verdict) -> Verdict:
        """Return the verdict on a comparison in a test."""
        undecided: Literal["true", "raise"] = "true" if self.policy.passes_undecided else "raise"
        return replace(verdict, undecided=undecided, on_truth=self._on_truth)

    def report(self, subject: Subject, verdict: Verdict) -> None:
        """Pass a verdict on beside what it is about: the claim, or its adaptive counterpart."""
        if isinstance(subject, Claim):
            counterpart = subject.adaptive_counterpart
            subject = counterpart if counterpart and verdict.claim == str(counterpart) else subject
        self._on_verdict(subject, verdict)

    def _decide(self, claim: Claim, settings: ClaimSettings) -> Verdict:
        """Decide a claim, and where the policy requires it and the attack is blind, its adaptive counterpart."""
        verdict = self._decide_as_written(claim, settings)
        if not claim.blind_to or verdict.state != "holds" or not self.policy.require_adaptive:
            return verdict
        counterpart = claim.adaptive_counterpart
        if counterpart is None:
            raise no_counterpart(claim)
        adaptive = self._decide_as_written(counterpart, settings)
        if adaptive.state == "holds":
            note = f"holds against the adaptive attack too: {adaptive.comparison}"
            return replace(verdict, notes=(*verdict.notes, note))
        blind = f"{claim} holds, {percent(verdict.estimate)}, where the attack is blind"
        advice = "claim no more than holds against an attacker who knows of the defence, or mend the defence."
        return replace(adaptive, notes=(blind, *adaptive.notes), advice=advice)

    def _decide_as_written(self, claim: Claim, settings: ClaimSettings) -> Verdict:
        policy, terms = self.policy, claim.terms
        if not policy.stop_early:
            columns = self.sample(terms)  # all images, with whatever else is planned
        if policy.stop_early or settings.about == "population":
            is_assisted = self._old_run is not None and policy.stop_early and settings.about == "testset"
            verdict = decide_early(
                claim,
                (drawn for _, drawn in self._measurements.draws(terms, policy.budget)),
                self._measurements.image_count,
                alpha=policy.alpha if settings.alpha is None else settings.alpha,
                min_seen=policy.min_images,
                budget=policy.budget,
                tolerance=settings.tolerance,
                about=settings.about,
                old=self._old_run.measures(terms) if self._old_run is not None and is_assisted else None,
            )
            verdict = self._named(verdict)
        else:
            verdict = decide_exact(claim, columns, tolerance=settings.tolerance)
            verdict = self._with_other_seeds(claim, columns, verdict)
        return self._marked(verdict, claim.blind_to, claim.terms)

    def _marked(
        self, verdict: Verdict, blind_to: Mapping[View, tuple[str, ...]], terms: Sequence[Term]
    ) -> Verdict:
        """Return a verdict with a note on each attack that is blind to a defence."""
        blind = tuple(self._blind_notes(blind_to, terms))
        return replace(verdict, notes=(*verdict.notes, *blind), blind_notes=blind)

    def _named(self, verdict: Verdict) -> Verdict:
        """Return a verdict whose assistance says which run it was."""
        if verdict.assistance is None:
            return verdict
        return replace(verdict, assistance=replace(verdict.assistance, baseline=str(self._old_run)))

    def _with_other_seeds(self, claim: Claim, columns: NDArray[np.float64], verdict: Verdict) -> Verdict:
        """Warn where another seed would turn the verdict on views that are drawn at random.

        Only where the margin could be the seeds' doing are the views evaluated again with another one: a 0/1
        measure's mean over N images has a standard deviation over the seeds of at most 0.5 / sqrt(N).
        """
        seeded = sum(abs(weight) for (_, view), weight in claim.form.weights if view.is_seeded)
        margin = abs(float(per_image(claim.form, claim.terms, columns).mean()))
        if margin > 2 * seeded * 0.5 / math.sqrt(len(columns)) or not seeded:
            return verdict
        seed, reseeded = self._measurements.reseeded(claim.terms)
        again = decide_exact(claim, reseeded, tolerance=verdict.tolerance)
        if again.state == verdict.state:
            return verdict
        note = f"within the noise of the seeds: with --robustcheck-seed={seed} it would be {again!r}"
        warn(f"{claim}: {note}")
        return replace(verdict, notes=(*verdict.notes, note))

    def _blind_notes(self, blind_to: Mapping[View, tuple[str, ...]], terms: Sequence[Term]) -> Iterator[str]:
        """Say of each view whose attack is blind to the defence what is known of an attack that is not."""
        for view, defences in blind_to.items():
            note = f"{view}: attack blind to {' and '.join(defences)}"
            names = dict.fromkeys(measure for measure, other in terms if other == view)
            counterpart = view.adaptive_counterpart
            table = None if counterpart is None else self.peek([(name, counterpart) for name in names])
            if table is None:
                yield f"{note}; an adaptive one may do better"
            else:
                means = zip(names, table.mean(axis=0).tolist(), strict=True)
                values = ", ".join(f"{name} {percent(value)}" for name, value in means)
                yield f"{note}; against one that goes through it, {values}"


def enforce(verdict: Verdict, settings: ClaimSettings, head: str = "") -> Verdict:
    """Raise `ClaimFailed`, warn, or return the verdict on a claim that is required to hold."""
    if verdict.state == "holds" or (verdict.state == "not shown" and verdict.undecided == "true"):
        return verdict
    lines = [head, *verdict.explain()] if head else verdict.explain(width=BESIDE_MARK)
    message = "\n".join(lines)
    if verdict.state == "refuted" or settings.on_undecided == "fail":
        raise ClaimFailed(message, verdict)
    if settings.on_undecided == "warn":
        warn(message)
    return replace(verdict, undecided="true")


def no_counterpart(claim: Claim) -> RobustcheckError:
    """Return why a claim can't be held against an adaptive attack, and of which attack it could be claimed."""
    view, defences = next(iter(claim.blind_to.items()))
    attack, names = view.attack, " and ".join(defences)
    return RobustcheckError(
        f"{claim} was measured against an attack blind to {names}, and {attack} can't go through it: "
        f"--robustcheck-require-adaptive asks for one that does, such as PGD_{attack.amount if attack else 1}"
        f"[through={'+'.join(reversed(defences))}]"
    )
