"""One object per pytest run: it owns the evaluations, logs the claims, and hands reports a finished run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.errors import RobustcheckError
from robustcheck.options.table import Settings
from robustcheck.report import writers as outputs
from robustcheck.session.location import location_of
from robustcheck.session.resources import Resources
from robustcheck.session.result_log import Log

if TYPE_CHECKING:
    from robustcheck.claims import Subject, Verdict
    from robustcheck.images import ImageSet
    from robustcheck.models import Classifier
    from robustcheck.notation import View
    from robustcheck.records import Records
    from robustcheck.records.baseline import Baseline
    from robustcheck.report.panel import Panel
    from robustcheck.report.run import FinishedRun
    from robustcheck.report.study import Study
    from robustcheck.robustness import Robustness
    from robustcheck.session.xdist import Worker
    from robustcheck.store.stats import Stored

Progress = Callable[[int, int], None]
CHANCE = "clean_accuracy_is_far_above_chance"
"""The one of the integrity tests of suites that holds for every run."""
KEY = pytest.StashKey["Session"]()


class Session:
    """What one pytest run knows of robustness; nothing is imported or computed before it is asked."""

    def __init__(
        self,
        settings: Settings,
        *,
        root: Path,
        new_progress: Callable[[Callable[[], str]], Progress | None],
        cache_folder: Callable[[], Path | None],
        worker: Worker | None = None,
    ) -> None:
        self.settings = settings
        self.root = root
        self.resources = Resources(settings, worker, cache_folder)
        self.log = Log()
        self.new_progress = new_progress
        self.planned: dict[View, None] = {}
        self.current_test: pytest.Item | None = None
        self.told: set[str | None] = set()
        """What kept a test from running and was said."""
        self.verdicts: defaultdict[pytest.Item | None, list[tuple[Robustness, Subject, Verdict]]] = (
            defaultdict(list)
        )
        """By test, in the order in which they were decided."""
        self.explained: list[object] = []
        """Verdicts that a failure's own message explains."""
        self.saved = ""
        """What became of the baseline that was to be saved."""
        self.written: list[str] = []
        """What became of the reports that were to be written."""
        self.facts: dict[str, str] = {}
        """What reports say of the run itself, in words."""
        self.ended = False
        """The last test has run."""
        self._from_workers: list[Study] = []
        self._stored_by_workers: list[dict[str, Stored]] = []
        self._asked: set[str] = set()
        """The fixtures whose own bodies ran, rather than those that override them."""
        self._classifiers: list[tuple[Any, Classifier]] = []
        self._made: list[tuple[Any, Any, Robustness]] = []
        self._pictured: dict[int, tuple[Panel, ...]] = {}

    @property
    def is_empty(self) -> bool:
        """Nothing was evaluated, here or in a worker."""
        return not (
            self.log.checks or self._from_workers or any(made.is_evaluated for *_, made in self._made)
        )

    def load_model(self) -> Classifier:
        """Return the classifier that the options name: the sample where they name none."""
        self._asked.add("robustcheck_model")
        return self.resources.load_model()

    def images_spec(self) -> str:
        """Return the images that the options name: the sample where they name none."""
        self._asked.add("robustcheck_images")
        return self.settings.images or "sample"

    def _require_used(self, fixture: str, *options: str) -> None:
        """Raise where the command line names what a fixture of the repository takes the place of."""
        given = [f"--robustcheck-{option}" for option in options if option in self.settings.on_command_line]
        if given and fixture not in self._asked:
            raise RobustcheckError(
                f"{' and '.join(given)} would have no effect: the fixture {fixture} is overridden in a conftest.py. "
                "Leave out the one or the other"
            )

    def as_classifier(self, model: Any) -> Classifier:
        """Return what the fixture `robustcheck_model` gave as a Classifier."""
        from robustcheck.models import as_classifier

        self._require_used("robustcheck_model", "model", "weights")
        for known, classifier in self._classifiers:
            if known is model:
                return classifier
        classifier = as_classifier(model, name="robustcheck_model", device=self.resources.device)
        self._classifiers.append((model, classifier))
        return classifier

    def robustness(self, classifier: Classifier, images: Any) -> Robustness:
        """Return the facade for a classifier and images, the same for the same two."""
        for known_classifier, known_images, made in self._made:
            if known_classifier is classifier and known_images is images:
                return made
        made = self._make(classifier, self._open(classifier, images))
        self._made.append((classifier, images, made))
        return made

    def _open(self, classifier: Classifier, images: Any) -> ImageSet:
        from robustcheck.images import ImageSet, image_set_of, open_images

        self._require_used("robustcheck_images", "images")
        settings = self.settings
        if isinstance(images, str | Path):
            opened = open_images(
                str(images),
                size=classifier.preprocessing,
                limit=settings.limit,
                seed=settings.seed,
                stratified=settings.stratify,
            )
        else:
            is_set = isinstance(images, ImageSet)
            name = "the fixture robustcheck_images"
            opened = images if is_set else image_set_of(images, classifier.preprocessing, name=name)
            if settings.limit is not None:
                opened = opened.sample(settings.limit, seed=settings.seed, stratified=settings.stratify)
        return opened.readable() if settings.bad_images == "skip" else opened

    def _make(self, classifier: Classifier, images: ImageSet) -> Robustness:
        import numpy as np

        from robustcheck.claims import DecisionPolicy
        from robustcheck.evaluation import Evaluation, RunConfig
        from robustcheck.images import match_classes
        from robustcheck.robustness import Robustness

        images = match_classes(images, classifier)
        settings = self.settings
        order = np.random.default_rng(settings.seed).permutation(len(images))
        evaluation = Evaluation(
            classifier,
            images,
            RunConfig(
                settings.seed,
                self.resources.batch_size,
                precision=settings.precision,
                optimize=settings.optimize,
            ),
            order=order,
            store=self.resources.store,
            executor=self.resources.executor,
            progress=self.new_progress(lambda: evaluation.underway),
        )
        policy = DecisionPolicy(
            settings.stop_early, settings.alpha, settings.budget, settings.require_adaptive
        )

        def note(subject: Subject, verdict: Verdict) -> None:
            self._note(made, subject, verdict)

        made = Robustness(
            evaluation, policy=policy, planned=self.planned, baseline=self.baseline, on_verdict=note
        )
        return made

    def where_it_stopped(self) -> Iterator[str]:
        """Yield, for each evaluation that was interrupted, how far it had come, and how to go on."""
        for *_, robustness in self._made:
            done, count = robustness.standing
            if done < count:
                yield f"{robustness.classifier.name}: stopped at {done} of {count} images of {robustness.images.name}"
                if self.resources.store is None:
                    yield "  nothing of that is kept: there is no record store (--robustcheck-store=DIR)"
                else:
                    yield f"  kept in {self.resources.store.folder}: the same command goes on from there"

    def stored_by_view(self) -> dict[str, Stored]:
        """Return how many of the records came from the store, by study and view, here and in workers."""
        merged: dict[str, Stored] = {}
        for taken in [*(robustness.stored for *_, robustness in self._made), *self._stored_by_workers]:
            for name, stored in taken.items():
                merged[name] = merged.get(name, stored) | stored
        return merged

    def stored(self) -> Stored | None:
        """Return how many of the records came from the store; None where none did."""
        taken = self.stored_by_view().values()
        if not any(each.records for each in taken):
            return None
        from robustcheck.store.stats import Stored

        return sum(taken, Stored())

    @cached_property
    def baseline(self) -> Baseline | None:
        """What `--robustcheck-compare` names."""
        from robustcheck.records.baseline import Baseline

        return None if self.settings.compare is None else Baseline.read(self.settings.compare, self.root)

    def check_baselines(self) -> None:
        """Raise `RobustcheckError` where a baseline can't be saved under its name, or can't be read."""
        if self.settings.save is not None:
            from robustcheck.records.baseline import path_of

            path_of(self.settings.save, self.root)
        if self.settings.compare is not None:
            self.baseline  # noqa: B018 - reading it is the check

    def save_baseline(self) -> bool:
        """Write what `--robustcheck-save` names, if it names any, and return whether that went well."""
        name = self.settings.save
        if name is None:
            return True
        from robustcheck.records.baseline import save_baseline

        try:
            path = save_baseline(name, self.root, self._only_records(), failed=self.log.failed_integrity)
        except (RobustcheckError, OSError) as error:
            self.saved = f"ERROR: the baseline {name} was not saved: {error}"
            return False
        self.saved = f"saved as {path.relative_to(self.root)}"
        return True

    def write_reports(self, add_suite_property: Callable[[str, object], None] | None) -> bool:
        """Write the reports that are asked for, and those of the CI system, and return whether that went well."""
        asked, by_ci = outputs.are_asked_for(self.settings), outputs.is_read_by_ci(add_suite_property)
        if self.is_empty and not self.log.troubles:
            self.written += ["no report was written: nothing was evaluated"] * asked
            return True
        if not asked and not by_ci:
            return True
        run = outputs.shown(self.finished(), self.settings, self.root)
        try:
            self.written += outputs.write(run, self.settings)
            if by_ci:
                self.written += outputs.tell_ci(run, self.root, add_suite_property)
        except RobustcheckError as error:
            self.written.append(f"ERROR: {error}")
            return False
        return True

    def leave_artifacts(
        self, item: pytest.Item, robustness: Robustness, subject: Subject, verdict: Verdict
    ) -> str:
        """Write the evidence of a claim that did not hold, and return a line that says where it is."""
        from robustcheck.report.artifacts import leave

        folder = self.settings.artifacts
        if folder is None:
            return ""
        command = outputs.reproduce(item.nodeid, self.settings)
        try:
            return leave(folder, subject, verdict, robustness, nodeid=item.nodeid, command=command)
        except OSError as error:
            return f"no evidence was written to {folder}: {error}"

    def _only_records(self) -> Records:
        from robustcheck.claims.record_warnings import chance_warning

        studies = self.finished().studies
        if len(studies) != 1:
            raise RobustcheckError(f"a baseline is of one model on one image set, not of {len(studies)}")
        records = studies[0].records
        for view in records.views:
            if not records.seen(view).all():
                raise RobustcheckError(
                    f"{view} was evaluated on {int(records.seen(view).sum())} of {len(records)} images; a baseline "
                    "is of whole image sets, from a run that ends and does not stop early"
                )
        if chance_warning(records, studies[0].classes) and CHANCE not in self.log.failed_integrity:
            self.log.failed_integrity.append(CHANCE)
        return records

    def _note(self, robustness: Robustness, subject: Subject, verdict: Verdict) -> None:
        from robustcheck.notation import View
        from robustcheck.report.run import ReportedClaim

        self.verdicts[self.current_test].append((robustness, subject, verdict))
        if self.current_test is not None:
            views = (subject,) if isinstance(subject, View) else subject.views
            place = location_of(self.current_test, len(self.verdicts[self.current_test]))
            reported = ReportedClaim.of(verdict, robustness.classifier.name, views=views, place=place)
            self.current_test.user_properties.append((ReportedClaim.PROPERTY, reported.to_json()))

    def studies(self) -> list[Study]:
        """Return what was evaluated in this process."""
        made = [robustness for *_, robustness in self._made if robustness.is_evaluated]
        if not made:
            return []
        from robustcheck.report.study import Study

        return [
            Study(robustness.records, robustness.classifier.class_count, self._panels(robustness))
            for robustness in made
        ]

    def _panels(self, robustness: Robustness) -> tuple[Panel, ...]:
        """Return pictures of some images where a page was asked for, made once, after the last test."""
        if self.settings.report is None or not self.ended:
            return ()
        if id(robustness) not in self._pictured:
            from robustcheck.report.pictures import panels_of

            self._pictured[id(robustness)] = panels_of(robustness)
        return self._pictured[id(robustness)]

    def finished(self) -> FinishedRun:
        """Return all there is to report, with what the workers sent."""
        from robustcheck.report.run import FinishedRun
        from robustcheck.report.study import merge_studies

        log, studies = self.log, merge_studies([*self.studies(), *self._from_workers])
        return FinishedRun(
            studies,
            tuple(log.claims),
            tuple(log.findings),
            tuple(log.checks),
            self.baseline,
            tuple(log.troubles),
            self.facts,
            tuple(log.failed_integrity),
        )

    # -------------------------------------------------------------------------------- workers of pytest-xdist

    def to_plain(self) -> dict[str, Any]:
        """Return what a worker of pytest-xdist tells the controller at its end."""
        return {
            "studies": [study.to_plain() for study in self.studies()],
            "stored": {name: stored.to_plain() for name, stored in self.stored_by_view().items()},
            "said": [*self.resources.messages],
        }

    def take_in(self, told: Mapping[str, Any]) -> None:
        """Take in what a worker of pytest-xdist told; one that evaluated nothing has no studies."""
        self.resources.messages.update(dict.fromkeys(told["said"]))
        if told["studies"]:
            from robustcheck.report.study import Study
            from robustcheck.store.stats import Stored

            self._from_workers += map(Study.from_plain, told["studies"])
            self._stored_by_workers.append({name: Stored(*plain) for name, plain in told["stored"].items()})

    def end_work(self) -> None:
        """End what computes and keeps records, here or for workers of pytest-xdist."""
        if self._from_workers:
            self.resources.store  # noqa: B018 - the workers have filled it, and this process prunes it
        self.resources.close()
