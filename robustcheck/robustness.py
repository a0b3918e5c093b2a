"""The object behind the `robustness` fixture: views by name, and comparisons that the decider decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from robustcheck.claims import (
    ClaimSettings,
    Decider,
    DecisionPolicy,
    Estimate,
    Ratio,
    Subject,
    Term,
    Verdict,
    enforce,
    mean,
    parse_claim,
    recovery,
)
from robustcheck.claims.pilot import PilotDecider
from robustcheck.claims.policy import Undecided
from robustcheck.claims.verdict import About
from robustcheck.errors import RobustcheckError
from robustcheck.evaluation import Evaluation
from robustcheck.evaluation.runner import ImageSample
from robustcheck.evaluation.shards import Shard
from robustcheck.images import Batch, ImageSet
from robustcheck.models import Classifier
from robustcheck.notation import View, X, parse
from robustcheck.records import MEASURES, Records
from robustcheck.records.baseline import Baseline
from robustcheck.records.old_run import OldRun
from robustcheck.store.stats import CacheStats
from robustcheck.text import printable

Columns = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sampling:
    """How a mutation's evaluation, or a pilot, differs: of few images of a set, perhaps of other views than are named."""

    population: int
    """The size of the set that the images were drawn from at random; claims are decided about all of it."""
    rewrite: Callable[[View], View] = lambda view: view
    """Returns the view that is evaluated in place of a named one."""
    whole: ImageSet | None = None
    """Of a pilot, the set itself: claims need labels of all its images."""


class Robustness:
    """Views and claims of one classifier on one image set.

        clean, adv = robustness["x"], robustness["Adv_1"]
        assert adv.accuracy <= 0.5 * clean.accuracy

    Nothing is computed before a number is needed, and then once: views that were named before are evaluated
    together, and all comparisons share the records.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        *,
        policy: DecisionPolicy | None = None,
        planned: Iterable[View] = (),
        baseline: Baseline | None = None,
        on_verdict: Callable[[Subject, Verdict], None] = lambda _subject, _verdict: None,
        on_truth: Callable[[Verdict], bool | None] | None = None,
        old_run: OldRun | None = None,
    ) -> None:
        policy = policy or DecisionPolicy()
        self.baseline = baseline
        self._evaluation = evaluation
        self._measurements = EvaluatedMeasurements(evaluation, planned, together=not policy.stop_early)
        kind = PilotDecider if policy.is_pilot else Decider
        self.decider: Decider = kind(self._measurements, policy, on_verdict, on_truth, old_run)
        """Decides the claims that are made with it."""

    def __repr__(self) -> str:
        return printable(
            f"<robustness of {self.classifier.name} on {self.images.name} ({len(self.images)} images)>"
        )

    @property
    def classifier(self) -> Classifier:
        """The classifier that is evaluated."""
        return self._evaluation.classifier

    @property
    def images(self) -> ImageSet:
        """The images that it is evaluated on."""
        return self._evaluation.images

    @property
    def batch_size(self) -> int:
        """The batch size of the evaluation."""
        return self._evaluation.batch_size

    @property
    def sampled_from(self) -> ImageSet:
        """The image set that claims are about: of a pilot the whole one."""
        sampling = self._measurements.sampling
        return (sampling and sampling.whole) or self.images

    @property
    def is_evaluated(self) -> bool:
        """Whether anything has been measured."""
        return self._evaluation.done(X) > 0

    def draw_from(self, sampling: Sampling) -> None:
        """Take the images for a sample of a larger set, evaluated as a mutation says; before anything is evaluated."""
        self._measurements.sampling = sampling

    @property
    def records(self) -> Records:
        """A copy of the records so far. Evaluates nothing."""
        return self._measurements.named(self._evaluation.records)

    @property
    def standing(self) -> tuple[int, int]:
        """The number of images evaluated under all views that were asked for, and the size of the set."""
        return self._evaluation.completed, len(self.images)

    @property
    def saved(self) -> int:
        """The number of images of which the record store has all that was asked for."""
        return self._evaluation.saved

    @property
    def stored(self) -> Mapping[str, CacheStats]:
        """How many of the records came from the store, by study and view, second evaluations included."""
        stored: dict[str, CacheStats] = {}
        for evaluation in (self._evaluation, *self._measurements.seconds):
            for name, found in evaluation.stored_by_view.items():
                stored[name] = stored.get(name, found) | found
        return stored

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
        return Ratio(self.decider, quotient)

    def check(
        self,
        claim: str,
        *,
        tolerance: float = 0.0,
        about: About = "testset",
        alpha: float | None = None,
        on_undecided: Undecided = "fail",
    ) -> Verdict:
        """Require a claim written as text, such as `"recovery(JPG(Adv_1)) >= 60%"`, to hold.

        Returns the verdict, which is true. Raises `ClaimFailed` (an AssertionError) where the claim is
        refuted, and where it is not shown unless `on_undecided` is "warn" or "pass". `tolerance` is how far
        the mean may miss the threshold and still hold; `about` is these very images ("testset") or all that
        are like them ("population"); `alpha` is the run's unless given. Raises `RobustcheckError` for a
        text that can't be read.
        """
        settings = ClaimSettings(alpha=alpha, tolerance=tolerance, about=about, on_undecided=on_undecided)
        return enforce(self.decider.decide(parse_claim(claim), settings), settings)

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
        if self.baseline is None:
            raise RobustcheckError(
                "there is no baseline to compare with: save one with --robustcheck-save=NAME on the version to "
                "compare with, and name it with --robustcheck-compare=NAME"
            )
        images, provenance = self.images, self._evaluation.provenance
        old = self.baseline.column(measure, tree, images.ids, images.labels, provenance)
        return self.decider.decide_regression(measure, tree, old, tolerance=tolerance)

    def plan(self, *views: View) -> None:
        """Have views evaluated together with the next that are needed."""
        self._measurements.planned.update(dict.fromkeys(views))

    def evaluate(self, *views: str | View) -> Records:
        """Evaluate views on all images, with those planned before, and return all records."""
        self._measurements.run(map(parse, views))
        return self.records

    def evaluate_again(self, *views: str | View, count: int) -> Records:
        """Evaluate views on the first `count` images a second time, without the records of the first.

        A record store keeps it as what it is, a second evaluation.
        """
        again = self._measurements.second()
        again.run(map(self._measurements.evaluated, views), count=count)
        return self._measurements.named(again.records)

    def compute_again(self, *views: str | View, count: int) -> Records:
        """Evaluate views on the first `count` images anew, at each call, without a record store."""
        again = self._evaluation.fresh(stored=False)
        again.run(map(self._measurements.evaluated, views), count=count)
        return self._measurements.named(again.records)

    def seconds(self, *views: str | View, count: int) -> float:
        """Return how long it takes to measure views, and the clean images, on the first `count` images of the order, anew.

        What comes once, such as preparing the network, has come before if anything was evaluated.
        """
        began = time.perf_counter()
        self._evaluation.compute(map(self._measurements.evaluated, views), Shard(0, count))
        return time.perf_counter() - began

    def look(self, views: Iterable[str | View], rows: Iterable[int]) -> Iterator[ImageSample]:
        """Yield some images, by their rows in the set, under some views, made again for someone to look at."""
        return self._evaluation.samples(map(self._measurements.evaluated, views), rows)

    def images_of(self, view: str | View, batch: Batch) -> Tensor:
        """Return a batch of the images under a view, made anew: uint8 (n, 3, H, W) on the classifier's device."""
        return self._evaluation.images_of(self._measurements.evaluated(view), batch)


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
        return Estimate(self.robustness.decider, mean(measure, self.view))

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *MEASURES]


class EvaluatedMeasurements:
    """The decider's measurements: an evaluation that grows as they are asked for.

    `planned` views are evaluated with the next that are needed on all images, if `together`, or if the images are a
    sample of few.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        planned: Iterable[View],
        *,
        together: bool,
    ) -> None:
        self.planned: dict[View, None] = dict.fromkeys((X, *planned))
        self._evaluation = evaluation
        self._together = together
        self.sampling: Sampling | None = None
        self._asked: dict[View, None] = {}
        """The views that were evaluated, as they were named."""
        self.seconds: list[Evaluation] = []
        """Further evaluations of the same, or with other seeds."""

    @property
    def image_count(self) -> int:
        """The size of the set that claims are about."""
        return len(self._evaluation.images) if self.sampling is None else self.sampling.population

    def evaluated(self, view: str | View) -> View:
        """Return the view that is evaluated where one is named: itself, but for a mutation."""
        tree = parse(view)
        self._asked[tree] = None
        return tree if self.sampling is None else self.sampling.rewrite(tree)

    def named(self, records: Records) -> Records:
        """Return records with views under the names by which they were asked for."""
        if self.sampling is None:
            return records
        pairs = ((view, self.sampling.rewrite(view)) for view in self._asked)
        columns = {view: records.columns[made] for view, made in pairs if made in records.columns}
        return replace(records, columns={X: records.columns[X], **columns} if columns else records.columns)

    def second(self, seed: int | None = None) -> Evaluation:
        """Return a further evaluation, with another seed if one is given."""
        self.seconds.append(self._evaluation.fresh(seed=seed))
        return self.seconds[-1]

    def run(self, views: Iterable[View]) -> None:
        """Evaluate views on all images, with the planned ones that can be; the others fail the tests that need them."""
        views = [*map(self.evaluated, views)]
        planned = map(self.evaluated, self.planned)
        feasible = [view for view in planned if self._evaluation.unsupported_reason(view) is None]
        self._evaluation.run((*feasible, *views))

    def sample(self, terms: Sequence[Term]) -> Columns:
        """Return measures of every image, in image-set order: (N, len(terms))."""
        self._require_labels(terms)
        made = self._evaluated(terms)
        if any(self._evaluation.done(view) < len(self._evaluation.images) for _, view in made):
            if self._together or self.sampling is not None:
                self.run(view for _, view in terms)
            else:
                self._evaluation.run(view for _, view in made)
        return _table(self._evaluation, made)

    def peek(self, terms: Sequence[Term]) -> Columns | None:
        """Return measures of the images evaluated so far, in image-set order; None where there are none."""
        terms = self._evaluated(terms)
        done = min((self._evaluation.done(view) for _, view in terms), default=0)
        return _table(self._evaluation, terms, np.sort(self._evaluation.order[:done])) if done else None

    def draws(self, terms: Sequence[Term], budget: int | None) -> Iterator[tuple[Rows, Columns]]:
        """Yield rows and their measures, batch after batch, in the evaluation's random order."""
        self._require_labels(terms)
        evaluation, count = self._evaluation, len(self._evaluation.images)
        if self.sampling is not None:
            yield evaluation.order, self.sample(terms)[evaluation.order]
            return
        views = [view for _, view in terms]
        most = min(count, budget or count)
        try:
            for start in range(0, count, evaluation.batch_size):
                stop = min(start + evaluation.batch_size, count)
                evaluation.run(views, count=stop, of=max(stop, most))
                rows = evaluation.order[start:stop]
                yield rows, _table(evaluation, terms, rows)
        finally:  # decided: nothing more needs to be computed ahead
            evaluation.executor.cancel_pending()

    def reseeded(self, terms: Sequence[Term]) -> tuple[int, Columns]:
        """Evaluate every image again with the next seed; return that seed and the measures."""
        terms = self._evaluated(terms)
        other = self.second(self._evaluation.config.seed + 1)
        other.run(view for _, view in terms)
        return other.config.seed, _table(other, terms)

    def _evaluated(self, terms: Sequence[Term]) -> list[Term]:
        return [(measure, self.evaluated(view)) for measure, view in terms]

    def _require_labels(self, terms: Sequence[Term]) -> None:
        images = (self.sampling and self.sampling.whole) or self._evaluation.images
        missing = int((images.labels < 0).sum())
        if missing and any(MEASURES[measure].needs_labels for measure, _ in terms):
            raise RobustcheckError(
                f"accuracy needs labels, and {missing} of the {len(images)} images of {images.name} have none: "
                "give a folder whose sub-folders are the classes, or ask for kept or top_probability"
            )


def _table(evaluation: Evaluation, terms: Sequence[Term], rows: Rows | slice = slice(None)) -> Columns:
    """Return measures of some images: float64 (n, len(terms))."""
    return np.stack(
        [evaluation.columns(view)[MEASURES[measure].column][rows] for measure, view in terms], axis=1
    )
