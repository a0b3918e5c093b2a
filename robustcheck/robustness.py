"""The object behind the `robustness` fixture: views by name, and comparisons that draw from an evaluation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from robustcheck.claims import (
    Claim,
    ClaimSettings,
    Estimate,
    Ratio,
    Term,
    Verdict,
    decide_early,
    decide_exact,
    family_alpha,
    holm,
    mean,
    no_regression,
    no_regression_early,
    parse_claim,
    recovery,
)
from robustcheck.claims.columns import per_image
from robustcheck.claims.toml_file import Undecided
from robustcheck.claims.verdict import About
from robustcheck.claims.wording import share, without_twin
from robustcheck.errors import ClaimFailed, RobustcheckError, RobustnessWarning
from robustcheck.evaluation import Evaluation
from robustcheck.evaluation.image_sample import Look
from robustcheck.images import Batch, ImageSet
from robustcheck.models import Classifier
from robustcheck.notation import View, X, parse
from robustcheck.records import MEASURES, Records
from robustcheck.records.baseline import Baseline
from robustcheck.store.stats import Stored

Columns = npt.NDArray[np.float64]
Subject = Claim | View
"""What a verdict is about: a claim, or a view that was compared with the baseline."""


@dataclass(frozen=True)
class Deciding:
    """How claims are decided."""

    stop_early: bool = False
    """Draw images in a random order, only until a claim is decided."""
    alpha: float = 0.05
    """Largest chance that a false claim passes, when stopping early."""
    budget: int | None = None
    """Evaluate at most so many images for a claim, when stopping early."""
    require_adaptive: bool = False
    """A claim of a defended view has to hold against attacks that go through the defence, too."""


class Robustness:
    """What can be asked of one classifier on one image set.

        clean, adv = robustness["x"], robustness["Adv_1"]
        assert adv.accuracy <= 0.5 * clean.accuracy

    Nothing is computed before a number is needed, and then once: views that were named before are
    evaluated together. Records are shared by all that is asked.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        *,
        deciding: Deciding | None = None,
        planned: Iterable[View] = (),
        baseline: Baseline | None = None,
        on_verdict: Callable[[Subject, Verdict], None] = lambda _subject, _verdict: None,
    ) -> None:
        self.baseline = baseline
        self._evaluation = evaluation
        self._deciding = deciding or Deciding()
        self._planned = dict.fromkeys((X, *planned))
        self._on_verdict = on_verdict
        self._again: list[Evaluation] = []

    def __repr__(self) -> str:
        return f"<robustness of {self.classifier.name} on {self.images.name} ({len(self.images)} images)>"

    @property
    def classifier(self) -> Classifier:
        """The classifier that is asked about."""
        return self._evaluation.classifier

    @property
    def images(self) -> ImageSet:
        """The images that it is asked about."""
        return self._evaluation.images

    @property
    def is_evaluated(self) -> bool:
        """Whether anything has been measured."""
        return self._evaluation.done(X) > 0

    @property
    def records(self) -> Records:
        """What has been measured so far, image by image; asking computes nothing."""
        return self._evaluation.records

    @property
    def provenance(self) -> Mapping[str, str]:
        """Everything that the numbers depend on, in words."""
        return self._evaluation.provenance

    @property
    def standing(self) -> tuple[int, int]:
        """How many images have been evaluated under all views that were asked for, and of how many."""
        return self._evaluation.standing, len(self.images)

    @property
    def stored(self) -> Mapping[str, Stored]:
        """How many of the records came from the store, by study and view, with those of second evaluations."""
        taken: dict[str, Stored] = {}
        for evaluation in (self._evaluation, *self._again):
            for name, stored in evaluation.stored_by_view.items():
                taken[name] = taken.get(name, stored) | stored
        return taken

    def __getitem__(self, view: str | View) -> ViewEstimates:
        """Return a view's estimates; raises `RobustcheckError` for a view that can't be read."""
        tree = parse(view)
        self.plan(tree)
        return ViewEstimates(self, tree)

    def recovery(self, view: str | View, *, measure: str = "accuracy") -> Ratio:
        """Return the share of the accuracy (or another measure) taken by an attack that a view of it gives back.

        (accuracy(view) - accuracy(attack)) / (accuracy(x) - accuracy(attack)): 0 is nothing, 1 all of it.
        Raises `RobustcheckError` where the view has no attack and, when it is compared or read, where the
        attack took next to nothing.
        """
        quotient = recovery(view, measure)
        self.plan(*(tree for _, tree in quotient.terms))
        return Ratio(self, quotient)

    def check(
        self,
        claim: str,
        *,
        tolerance: float = 0.0,
        about: About = "testset",
        alpha: float | None = None,
        on_undecided: Undecided = "fail",
    ) -> Verdict:
        """Hold the model to a claim written as text, such as `"recovery(JPG(Adv_1)) >= 60%"`.

        Returns the verdict, which is true. Raises `ClaimFailed` (an AssertionError) where the claim is
        refuted, and where it is not shown unless `on_undecided` is "warn" or "pass". `tolerance` is how far
        the mean may miss the threshold and still hold; `about` is these very images ("testset") or all that
        are like them ("population"); `alpha` is the run's unless given. Raises `RobustcheckError` for a
        text that can't be read.
        """
        settings = ClaimSettings(alpha=alpha, tolerance=tolerance, about=about, on_undecided=on_undecided)
        return self.enforce(self.decide(parse_claim(claim), settings), settings)

    @staticmethod
    def enforce(verdict: Verdict, settings: ClaimSettings, head: str = "") -> Verdict:
        """Raise `ClaimFailed`, warn, or return the verdict of a claim that was to hold."""
        if verdict.state == "holds":
            return verdict
        if verdict.state == "refuted" or settings.on_undecided == "fail":
            raise ClaimFailed(_explained(verdict, head), verdict)
        if settings.on_undecided == "warn":
            warnings.warn(_explained(verdict, head), RobustnessWarning, stacklevel=3)
        return replace(verdict, undecided="true")

    def no_regression(
        self, view: str | View, *, tolerance: float = 0.01, measure: str = "accuracy"
    ) -> Verdict:
        """Return whether a measure fell by at most `tolerance` since the baseline, paired by image.

            assert robustness.no_regression("JPG(Adv_1)", tolerance=0.01)

        The baseline is what `--robustcheck-compare` names. Raises `RobustcheckError` where it names none, or
        one that can't be compared with.
        """
        tree = parse(view)
        self.plan(tree)
        old = self._baseline_column(measure, tree)
        terms = ((measure, tree),)
        self._require_labels(terms)
        name = f"{measure}({tree})"
        if self._deciding.stop_early:
            verdict = no_regression_early(
                self._paired_draws(terms, old),
                len(self.images),
                tolerance=tolerance,
                name=name,
                alpha=self._deciding.alpha,
                budget=self._deciding.budget,
            )
        else:
            verdict = no_regression(self.sample(terms)[:, 0], old, tolerance=tolerance, name=name)
        verdict = replace(verdict, undecided="raise")
        self.report(tree, verdict)
        return verdict

    def _paired_draws(self, terms: Sequence[Term], old: npt.NDArray[np.float64]) -> Iterator[Columns]:
        start = 0
        for columns in self._draws(terms):
            rows = self._evaluation.order[start : start + len(columns)]
            yield np.column_stack([columns[:, 0], old[rows]])
            start += len(columns)

    def _baseline_column(self, measure: str, view: View) -> npt.NDArray[np.float64]:
        if self.baseline is None:
            raise RobustcheckError(
                "there is no baseline to compare with: save one with --robustcheck-save=NAME on the version that "
                "is to be held, and name it with --robustcheck-compare=NAME"
            )
        return self.baseline.column(measure, view, self.images.ids, self.images.labels, self.provenance)

    def plan(self, *views: View) -> None:
        """Have views evaluated with the next that are."""
        self._planned.update(dict.fromkeys(views))

    def evaluate(self, *views: str | View) -> Records:
        """Evaluate views on all images, with those planned before, and return all records."""
        asked = tuple(map(parse, views))
        self._evaluation.run((*self._feasible(), *asked))
        return self.records

    def look(self, views: Iterable[str | View], rows: Iterable[int]) -> Iterator[Look]:
        """Yield some images, by their rows in the set, under some views, made again for someone to look at."""
        return self._evaluation.look(views, rows)

    @property
    def batch_size(self) -> int:
        """How many images the model gets at once."""
        return self._evaluation.batch_size

    def images_of(self, view: str | View, batch: Batch) -> Tensor:
        """Return a batch of the images under a view, made anew: uint8 (n, 3, H, W) on the classifier's device."""
        return self._evaluation.images_of(view, batch)

    def evaluate_again(self, *views: str | View, count: int) -> Records:
        """Evaluate views on the first `count` images anew, sharing nothing with what was evaluated before.

        A record store keeps it as what it is, a second evaluation.
        """
        fresh = self._evaluation.fresh()
        self._again.append(fresh)
        fresh.run(views, count=count)
        return fresh.records

    def compute_again(self, *views: str | View, count: int) -> Records:
        """Evaluate views on the first `count` images anew, as often as it is asked; no record store has part in it."""
        fresh = self._evaluation.fresh(stored=False)
        fresh.run(views, count=count)
        return fresh.records

    def sample(self, terms: Sequence[Term]) -> Columns:
        """Return measures of every image, in image-set order: float64 (N, len(terms))."""
        self._require_labels(terms)
        views = [view for _, view in terms]
        if any(self._evaluation.done(view) < len(self.images) for view in views):
            self._evaluation.run(views if self._deciding.stop_early else (*self._feasible(), *views))
        return _table(self._evaluation, terms)

    def _feasible(self) -> list[View]:
        """Return what is planned and can be evaluated: what a test names that can't is that test's failure alone."""
        return [view for view in self._planned if self._evaluation.refusal(view) is None]

    def peek(self, terms: Sequence[Term]) -> Columns | None:
        """Return measures of the images evaluated so far, or None where there are none."""
        done = min((self._evaluation.done(view) for _, view in terms), default=0)
        return _table(self._evaluation, terms, np.sort(self._evaluation.order[:done])) if done else None

    def names(self) -> Sequence[str]:
        """Return what a person calls each image, in image-set order."""
        return self.images.names

    def decide(self, claim: Claim, settings: ClaimSettings | None = None) -> Verdict:
        """Decide a claim: on all images, or, when stopping early, on no more than it takes.

        Without settings it is a comparison in a test, whose verdict, if not shown, is neither true nor false.
        """
        verdict = self._decide(claim, settings or ClaimSettings())
        if settings is None:
            verdict = replace(verdict, undecided="raise")
        self.report(claim, verdict)
        return verdict

    def report(self, subject: Subject, verdict: Verdict) -> None:
        """Have a verdict appear in the reports, beside what it speaks of: the claim, or its adaptive twin."""
        if isinstance(subject, Claim) and (twin := subject.adaptive_twin) and verdict.claim == str(twin):
            subject = twin
        self._on_verdict(subject, verdict)

    def decide_family(self, claims: Sequence[tuple[Claim, ClaimSettings]]) -> list[Verdict]:
        """Decide claims so that those that hold do so jointly, with an error of at most the run's alpha (Holm)."""
        alpha = self._deciding.alpha
        share = family_alpha(len(claims), alpha)
        return holm([self._decide(claim, replace(own, alpha=share)) for claim, own in claims], alpha=alpha)

    def _decide(self, claim: Claim, settings: ClaimSettings) -> Verdict:
        verdict = self._decide_as_written(claim, settings)
        if not claim.blind_to or verdict.state != "holds" or not self._deciding.require_adaptive:
            return verdict
        twin = claim.adaptive_twin
        if twin is None:
            raise RobustcheckError(without_twin(claim))
        against = self._decide_as_written(twin, settings)
        known = f"{claim} holds, {share(verdict.estimate)}, where the attack is blind"
        if against.state == "holds":
            return replace(
                verdict, notes=(*verdict.notes, f"holds against the adaptive attack too: {against!r}")
            )
        advice = "claim no more than holds against an attacker who knows of the defence, or mend the defence."
        return replace(against, notes=(known, *against.notes), advice=advice)

    def _decide_as_written(self, claim: Claim, settings: ClaimSettings) -> Verdict:
        self._require_labels(claim.terms)
        if not self._deciding.stop_early:
            self.sample(claim.terms)  # all images, with whatever else is planned
        if self._deciding.stop_early or settings.about == "population":
            verdict = decide_early(
                claim,
                self._draws(claim.terms),
                len(self.images),
                alpha=self._deciding.alpha if settings.alpha is None else settings.alpha,
                budget=self._deciding.budget,
                tolerance=settings.tolerance,
                about=settings.about,
            )
        else:
            columns = self.sample(claim.terms)
            verdict = decide_exact(claim, columns, tolerance=settings.tolerance)
            verdict = self._with_other_seeds(claim, columns, verdict)
        return replace(verdict, notes=(*verdict.notes, *self._blind_notes(claim)))

    def _with_other_seeds(self, claim: Claim, columns: Columns, verdict: Verdict) -> Verdict:
        """Warn where a claim about views drawn at random is decided by nothing but the seeds.

        Only where the margin could be the seeds' doing are the views evaluated again with other ones: a 0/1
        measure's mean over N images has a standard deviation over the seeds of at most 0.5 / sqrt(N).
        """
        seeded = sum(abs(weight) for (_, view), weight in claim.form.weights if view.is_seeded)
        margin = abs(float(per_image(claim.form, claim.terms, columns).mean()))
        if margin > 2 * seeded * 0.5 / math.sqrt(len(columns)) or not seeded:
            return verdict
        other = self._evaluation.fresh(seed=self._evaluation.seed + 1)
        other.run(claim.views)
        self._again.append(other)
        again = decide_exact(claim, _table(other, claim.terms), tolerance=verdict.tolerance)
        if again.state == verdict.state:
            return verdict
        note = f"within the noise of the seeds: with --robustcheck-seed={other.seed} it would be {again!r}"
        warnings.warn(f"{claim}: {note}", RobustnessWarning, stacklevel=2)
        return replace(verdict, notes=(*verdict.notes, note))

    def _draws(self, terms: Sequence[Term]) -> Iterator[Columns]:
        """Yield measures of batch after batch, in the evaluation's random order, evaluated as they are drawn."""
        views = [view for _, view in terms]
        most = min(len(self.images), self._deciding.budget or len(self.images))
        try:
            for start in range(0, len(self.images), self._evaluation.batch_size):
                stop = min(start + self._evaluation.batch_size, len(self.images))
                self._evaluation.run(views, count=stop, of=max(stop, most))
                yield _table(self._evaluation, terms, self._evaluation.order[start:stop])
        finally:  # decided: whoever computes ahead need not any more
            self._evaluation.rest()

    def _require_labels(self, terms: Sequence[Term]) -> None:
        missing = int((self.images.labels < 0).sum())
        if missing and any(MEASURES[measure].needs_labels for measure, _ in terms):
            raise RobustcheckError(
                f"accuracy needs labels, and {missing} of the {len(self.images)} images of {self.images.name} have "
                "none: give a folder whose sub-folders are the classes, or ask for kept or top_probability"
            )

    def _blind_notes(self, claim: Claim) -> Iterator[str]:
        for view, defences in claim.blind_to.items():
            note = f"{view}: attack blind to {' and '.join(defences)}"
            twin = view.adaptive_twin
            if twin is None or not self._evaluation.done(twin):
                yield f"{note}; an attacker who knows of it may do better"
            else:
                measures = dict.fromkeys(measure for measure, other in claim.terms if other == view)
                told = (f"{measure} {share(self.records.mean(measure, twin))}" for measure in measures)
                yield f"{note}; against one that goes through it, {', '.join(told)}"


@dataclass(frozen=True)
class ViewEstimates:
    """One view's estimates, each the mean of a measure: `accuracy`, `top_probability`, `kept`.

    `accuracy` is the share of images whose prediction is their label, `top_probability` the mean probability of l_x,
    the model's own top label on the clean image, and `kept` the share of images whose prediction is still l_x.
    """

    robustness: Robustness
    view: View

    def __repr__(self) -> str:
        return f"<{self.view} of {self.robustness!r}>"

    def __getattr__(self, measure: str) -> Estimate:
        if measure not in MEASURES:
            allowed = ", ".join(MEASURES)
            raise AttributeError(f"a view has no measure {measure!r}: there are {allowed}")
        return Estimate(self.robustness, mean(measure, self.view))

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *MEASURES]


def _table(
    evaluation: Evaluation, terms: Sequence[Term], rows: npt.NDArray[np.int64] | slice = slice(None)
) -> Columns:
    """Return measures of some images: float64 (n, len(terms))."""
    return np.stack(
        [evaluation.columns(view)[MEASURES[measure].column][rows] for measure, view in terms], axis=1
    )


def _explained(verdict: Verdict, head: str) -> str:
    return "\n".join([*([head] if head else []), *verdict.explain()])
