"""The models, images and evaluations of a run: each is made once, for all tests that ask for it.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.errors import RobustcheckError
from robustcheck.options.option import anchored
from robustcheck.session import marker
from robustcheck.text import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robustcheck.claims import Subject, Verdict
    from robustcheck.evaluation import Evaluation
    from robustcheck.evaluation.executor import Executor
    from robustcheck.images import ImageSet
    from robustcheck.models import Classifier
    from robustcheck.notation import View
    from robustcheck.records.baseline import Baseline
    from robustcheck.records.old_run import OldRun
    from robustcheck.robustness import Robustness
    from robustcheck.session.evaluation_clock import EvaluationClock
    from robustcheck.session.mutants import Mutant
    from robustcheck.session.resources import Resources
    from robustcheck.session.shared_work import SharedWork

MUTATION = "mutation"
"""The suite that evaluates few images, under one fault after the other."""
MUTATION_IMAGES = 64
"""How many it evaluates, unless --robustcheck-limit says."""
PILOT_IMAGES = 64
"""How many a forecast evaluates."""
Progress = Callable[[int, int], None]
NewProgress = Callable[[Callable[[], str]], Progress | None]
"""Of a function that says what is under way, returns what shows progress."""


class Evaluations:
    """What the fixtures give, as the settings say."""

    def __init__(
        self,
        resources: Resources,
        *,
        planned: Mapping[View, None],
        new_progress: NewProgress,
        on_verdict: Callable[[Robustness, Subject, Verdict], None],
        on_truth: Callable[[Verdict], bool | None],
        clock: EvaluationClock,
    ) -> None:
        self._clock = clock
        self._settings = resources.settings
        self._started_in = Path.cwd()
        self._resources = resources
        self._planned = planned
        self._new_progress = new_progress
        self._on_verdict, self._on_truth = on_verdict, on_truth
        self._own_fixtures: set[str] = set()
        """The fixtures whose own bodies ran, rather than those that override them."""
        self._classifiers: list[tuple[Any, Classifier]] = []
        self._made: list[tuple[Any, Any, Robustness]] = []
        self.error: BaseException | None = None
        """The error that ended an evaluation in the test that is running."""
        self._alpha = self._settings.alpha
        self._has_own_images = False
        self._mutant: Mutant | None = None
        """What changes the set-ups that are evaluated now."""

    @cached_property
    def _shared(self) -> SharedWork:
        from robustcheck.session.shared_work import SharedWork

        return SharedWork()

    def begin(self, item: pytest.Item) -> None:
        """Start a test, with the settings that its marker gives it."""
        self.error = None
        alpha = marker.setting(item, "alpha")
        self._alpha = self._settings.alpha if alpha is None else float(alpha)
        self._has_own_images = marker.setting(item, "images") is not None
        for made in self:
            made.decider.policy = replace(made.decider.policy, alpha=self._alpha)

    def __iter__(self) -> Iterator[Robustness]:
        """Yield each of the run's evaluations, in the order in which they were asked for."""
        return (made for *_, made in self._made)

    @contextmanager
    def under(self, mutant: Mutant | None) -> Iterator[None]:
        """Make all evaluations anew within, of the set-ups that `mutant` changes; then those from before are back."""
        kept = self._made, self._classifiers, self._mutant
        self._made, self._classifiers, self._mutant = [], [], mutant
        try:
            yield
        finally:
            self._made, self._classifiers, self._mutant = kept

    def load_model(self) -> Classifier:
        """Return the classifier that the options name, or the sample."""
        self._own_fixtures.add("robustcheck_model")
        return self._resources.load_model()

    def images_spec(self) -> str:
        """Return the images that the options name, or the sample."""
        self._own_fixtures.add("robustcheck_images")
        return self._settings.images or "sample"

    def as_classifier(self, model: Any) -> Classifier:
        """Return the value of the fixture `robustcheck_model` as a Classifier."""
        from robustcheck.models import as_classifier

        self._require_used("robustcheck_model", "model", "weights")
        for known, classifier in self._classifiers:
            if known is model:
                return classifier
        classifier = as_classifier(model, name="robustcheck_model", device=self._resources.device)
        self._classifiers.append((model, classifier))
        return classifier

    def robustness(self, classifier: Classifier, images: Any) -> Robustness:
        """Return the facade for a classifier and images, the same for the same two."""
        for known_classifier, known_images, made in self._made:
            if known_classifier is classifier and known_images is images:
                return made
        if self._settings.suite == MUTATION:
            made = self._make_of_few(classifier, images)
        elif self._settings.forecast:
            made = self._make_pilot(classifier, images)
        else:
            made = self._make(classifier, self._open(classifier, images))
        self._made.append((classifier, images, made))
        return made

    @contextmanager
    def _during(self, name: str) -> Iterator[None]:
        """Follow a run of an evaluation."""
        try:
            with self._clock.during(name):
                yield
        except Exception as error:
            self.error = error
            raise

    def _require_used(self, fixture: str, *options: str) -> None:
        """Raise if the command line names something that a fixture of the repository replaces."""
        given = [f"--robustcheck-{option}" for option in options if option in self._settings.typed]
        if given and fixture not in self._own_fixtures:
            raise RobustcheckError(
                f"{' and '.join(given)} would have no effect: the fixture {fixture} is overridden in a conftest.py. "
                "Leave out the one or the other"
            )

    def _open(self, classifier: Classifier, images: Any) -> ImageSet:
        from robustcheck.images import as_image_set

        if not self._has_own_images:
            self._require_used("robustcheck_images", "images")
        settings = self._settings
        if isinstance(images, str | Path) and Path.cwd() != self._started_in:
            # A test may have changed the directory: relative paths are meant from where the run started.
            images = anchored(str(images), self._started_in)
        opened = as_image_set(
            images,
            classifier.preprocessing,
            name="the fixture robustcheck_images",
            limit=None if settings.suite == MUTATION else settings.limit,
            seed=settings.seed,
            stratified=settings.stratify,
        )
        draws_few = settings.suite == MUTATION or settings.forecast  # and skips among these
        is_skipping = settings.bad_images == "skip" and not draws_few
        return opened.readable() if is_skipping else opened

    def _make_of_few(self, classifier: Classifier, images: Any) -> Robustness:
        """Return the facade for few of the images, of a set-up that the mutant in force changes."""
        from robustcheck.executors.reuse import ReusingExecutor
        from robustcheck.images import match_classes
        from robustcheck.mutation.mutation import Setup
        from robustcheck.robustness import Sampling
        from robustcheck.session.few_images import baseline_of

        sound = self._shared.of_network(classifier)
        few, population = self._few(classifier, images)
        few = match_classes(few, classifier)
        baseline = baseline_of(self._resources.baseline, few)
        setup = Setup(
            classifier,
            few,
            lambda other: match_classes(self._few(other, images)[0], other),
            baseline=baseline,
        )
        if self._mutant is not None:
            setup = self._mutant.changed(setup)
        is_own = setup.classifier is classifier
        is_folded = None if sound is None else sound.workload.runner.model.attacked.is_folded
        evaluation = self._evaluation(
            setup.classifier,
            match_classes(setup.images, setup.classifier),
            optimize="fold" if setup.is_foldable and self._settings.optimize != "none" else "none",
            is_folded=is_folded,
            is_stored=is_own,  # not of a changed network, which the store's key might not tell from another
            executor=ReusingExecutor(sound) if is_own and sound is not None else None,
        )
        if self._mutant is None:
            self._shared.add(evaluation)
        made = self._facade(evaluation, baseline=setup.baseline, is_sample=True)
        made.draw_from(Sampling(population, setup.rewrite))
        return made

    def _few(self, classifier: Classifier, images: Any) -> tuple[ImageSet, int]:
        """Return the few images that are evaluated, and the number of those that they are drawn from."""
        from robustcheck.session.few_images import draw

        def drawn() -> tuple[ImageSet, int]:
            whole = self._open(classifier, images)
            return draw(whole, self._settings.limit or MUTATION_IMAGES, self._settings), len(whole)

        return self._shared.drawn(images, classifier, drawn)

    def _make_pilot(self, classifier: Classifier, images: Any) -> Robustness:
        """Return the facade for few of the images, on which claims are noted for a forecast."""
        from robustcheck.images import match_classes
        from robustcheck.robustness import Sampling
        from robustcheck.session.few_images import baseline_of, draw

        whole = match_classes(self._open(classifier, images), classifier)
        few = match_classes(draw(whole, PILOT_IMAGES, self._settings), classifier)
        evaluation = self._evaluation(classifier, few, optimize=self._settings.optimize, is_stored=False)
        made = self._facade(evaluation, baseline=baseline_of(self._resources.baseline, few))
        made.draw_from(Sampling(len(whole), whole=whole))
        return made

    def _make(self, classifier: Classifier, images: ImageSet) -> Robustness:
        """Return the facade for a classifier and all images."""
        from robustcheck.images import match_classes

        images = match_classes(images, classifier)
        old_run = self._resources.old_run(images)
        evaluation = self._evaluation(
            classifier,
            images,
            optimize=self._settings.optimize,
            order=None if old_run is None else old_run.order,
        )
        return self._facade(evaluation, baseline=self._resources.baseline, old_run=old_run)

    def _evaluation(
        self,
        classifier: Classifier,
        images: ImageSet,
        *,
        optimize: str,
        is_folded: bool | None = None,
        is_stored: bool = True,
        executor: Executor | None = None,
        order: NDArray[np.int64] | None = None,
    ) -> Evaluation:
        import numpy as np

        from robustcheck.evaluation import Evaluation, RunConfig

        settings, resources, mutant = self._settings, self._resources, self._mutant
        by_seed = np.random.default_rng(settings.seed).permutation(len(images))
        evaluation = Evaluation(
            classifier,
            images,
            RunConfig(
                settings.seed,
                resources.batch_size,
                precision=settings.precision,
                optimize=optimize,
                transfer=settings.transfer or {},
                is_folded=is_folded,
            ),
            order=by_seed if order is None else order,
            store=resources.store if is_stored else None,
            executor=executor if mutant or settings.forecast else resources.executor,
            progress=None if mutant else self._new_progress(lambda: evaluation.underway),
        )
        under = f" under {mutant.name}" if mutant else ""
        name = printable(f"evaluate[{classifier.name} on {images.name}{under}]")
        evaluation.during = partial(self._during, name)
        return evaluation

    def _facade(
        self,
        evaluation: Evaluation,
        *,
        baseline: Baseline | None,
        old_run: OldRun | None = None,
        is_sample: bool = False,
    ) -> Robustness:
        """Return the facade for an evaluation; `is_sample` is whether claims are decided about a larger set."""
        from robustcheck.claims import DecisionPolicy
        from robustcheck.robustness import Robustness

        settings, count = self._settings, len(evaluation.images)
        made = Robustness(
            evaluation,
            policy=DecisionPolicy(
                settings.stop_early or is_sample,
                self._alpha,
                count if is_sample else settings.budget,
                count if is_sample else settings.min_images,
                settings.require_adaptive,
                passes_undecided=is_sample,
                is_pilot=settings.forecast,
            ),
            planned=self._planned,
            baseline=baseline,
            on_verdict=lambda subject, verdict: self._on_verdict(made, subject, verdict),
            on_truth=self._on_truth,
            old_run=old_run,
        )
        return made
