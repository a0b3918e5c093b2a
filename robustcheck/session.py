"""One object per pytest run: it owns the evaluations, logs the claims, and hands reports a finished run."""

from __future__ import annotations

import time
import warnings
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from robustcheck import outputs
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, parse
from robustcheck.places import place_of
from robustcheck.settings import Settings

if TYPE_CHECKING:
    from robustcheck.baseline import Baseline
    from robustcheck.claims import Verdict
    from robustcheck.evaluation.on_ray import RayWorkers
    from robustcheck.evaluation.sharing import Sharing
    from robustcheck.evaluation.store import RecordStore
    from robustcheck.evaluation.stored import Stored
    from robustcheck.images import ImageSet, PixelCache
    from robustcheck.models import Classifier
    from robustcheck.records import Records
    from robustcheck.report import Check, Finding, FinishedRun, ReportedClaim, Study, Trouble
    from robustcheck.report.panel import Panel
    from robustcheck.robustness import Robustness, Subject
    from robustcheck.xdist_worker import Worker

Progress = Callable[[int, int], None]
Reported = TypeVar("Reported")
INTEGRITY = "test_trust_"
"""How the names of a suite's integrity tests begin: where one fails, the numbers can't be trusted."""
CHANCE = "clean_accuracy_is_far_above_chance"
"""The one of them that holds for every run."""
KEY = pytest.StashKey["Session"]()


class Session:
    """What one pytest run knows of robustness; nothing is imported or computed before it is asked."""

    def __init__(
        self,
        settings: Settings,
        *,
        root: Path,
        new_progress: Callable[[Callable[[], str]], Progress | None],
        worker: Worker | None = None,
    ) -> None:
        self.settings = settings
        self.root = root
        self.worker = worker
        """The worker of pytest-xdist that this process is."""
        self.began = time.time() if worker is None else worker.began
        self.new_progress = new_progress
        self.planned: dict[View, None] = {}
        self.current_test: pytest.Item | None = None
        self.told: set[str | None] = set()
        """What kept a test from running and was said."""
        self.saved = ""
        """What became of the baseline that was to be saved."""
        self.cache_counts: list[tuple[int, int]] = []
        """How many images came out of the cache, and how many were decoded, in this process or a worker each."""
        self.written: list[str] = []
        """What became of the reports that were to be written."""
        self.verdicts: defaultdict[pytest.Item | None, list[tuple[Robustness, Subject, Verdict]]] = (
            defaultdict(list)
        )
        """By test, in the order in which they were decided."""
        self.explained: list[object] = []
        """Verdicts that a failure's own message explains."""
        self.claims: list[ReportedClaim] = []
        self.findings: list[Finding] = []
        self.checks: list[Check] = []
        self.troubles: list[Trouble] = []
        self.facts: dict[str, str] = {}
        """What reports say of the run itself, in words."""
        self.on_properties: Callable[[pytest.TestReport], None] = lambda _report: None
        """What else is to become of the properties of a test that has ended."""
        self.from_workers: list[Study] = []
        self.cache_folder: Callable[[], Path | None] = lambda: None
        """Where the record store is, unless the options name a place."""
        self.said: dict[str, None] = {}
        """What the record store had to say, each line once."""
        self.stored_by_workers: list[dict[str, Stored]] = []
        self.failed_integrity: list[str] = []
        self.position: dict[str, int] = {}
        """Where a test stands among those collected: from workers of pytest-xdist they come in any order."""
        self._positions: dict[int, int] = {}
        self._failed: set[str] = set()
        self._asked: set[str] = set()
        """The fixtures whose own bodies ran, rather than those that override them."""
        self._pictured: dict[int, tuple[Panel, ...]] = {}
        self.ended = False
        """The last test has run."""
        self._classifiers: list[tuple[Any, Classifier]] = []
        self._made: list[tuple[Any, Any, Robustness]] = []

    @property
    def is_empty(self) -> bool:
        """Nothing was evaluated, here or in a worker."""
        return not (self.checks or self.from_workers or any(made.is_evaluated for *_, made in self._made))

    def load_model(self) -> Classifier:
        """Return the classifier that the options name: the sample where they name none."""
        from robustcheck.models import load_model

        settings = self.settings
        self._asked.add("robustcheck_model")
        try:
            return load_model(settings.model or "sample", weights=settings.weights, device=self.device)
        except RobustcheckError as error:
            if settings.model:
                raise
            raise RobustcheckError(f"{error}\nor name a model: --robustcheck-model=resnet50") from None

    @cached_property
    def device(self) -> str:
        """Where to compute, by the options; workers of pytest-xdist share the cores and the GPUs of a machine."""
        if self.worker is None:
            return self.settings.device
        self.worker.share_cores()
        return self.worker.device(self.settings.device)

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
        classifier = as_classifier(model, name="robustcheck_model", device=self.device)
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
        if self.pixel_cache is not None:
            opened = opened.through(self.pixel_cache)
        return opened.readable() if settings.bad_images == "skip" else opened

    @cached_property
    def pixel_cache(self) -> PixelCache | None:
        """What `--robustcheck-cache-dir` names."""
        from robustcheck.images import PixelCache

        settings = self.settings
        if settings.cache_dir is None:
            return None
        return PixelCache(settings.cache_dir, limit=settings.cache_size, verify=settings.cache_verify)

    def close_cache(self) -> list[tuple[int, int]]:
        """Write the decoded images that are not yet in the cache's folder, and return what came out of it."""
        cache = vars(self).get("pixel_cache")
        if cache is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("always")  # no test is there any more that one could fail
                cache.flush()
            self.cache_counts.append((cache.found, cache.decoded))
        return self.cache_counts

    def told_of_cache(self) -> Iterator[str]:
        """Yield a line on what came out of the cache, in this process and in workers."""
        if self.cache_counts:
            found, decoded = (sum(numbers) for numbers in zip(*self.cache_counts, strict=True))
            yield f"pixel cache {self.settings.cache_dir}: {found} images read from it, {decoded} decoded"

    @property
    def batch_size(self) -> int | str | None:
        """What to give the model at once; workers of pytest-xdist, which would time each other, measure nothing."""
        asked = self.settings.batch_size
        if asked == "auto" and self.worker is not None:
            self.said["--robustcheck-batch-size=auto measures nothing under pytest-xdist: by device"] = None
            return None
        return asked

    def _make(self, classifier: Classifier, images: ImageSet) -> Robustness:
        import numpy as np

        from robustcheck.evaluation import Evaluation
        from robustcheck.images import match_classes
        from robustcheck.robustness import Deciding, Robustness

        images = match_classes(images, classifier)
        settings = self.settings
        order = np.random.default_rng(settings.seed).permutation(len(images))
        evaluation = Evaluation(
            classifier,
            images,
            seed=settings.seed,
            batch_size=self.batch_size,
            precision=settings.precision,
            optimize=settings.optimize,
            order=order,
            progress=self.new_progress(lambda: evaluation.underway),
            store=self.store,
            sharing=self.sharing,
            workers=self.workers,
        )
        deciding = Deciding(settings.stop_early, settings.alpha, settings.budget, settings.require_adaptive)

        def note(subject: Subject, verdict: Verdict) -> None:
            self._note(made, subject, verdict)

        made = Robustness(
            evaluation, deciding=deciding, planned=self.planned, baseline=self.baseline, on_verdict=note
        )
        return made

    @cached_property
    def store(self) -> RecordStore | None:
        """Where records are kept; None where that is turned off, or can't be.

        By default it is in pytest's own cache folder, as what a run learns for the next is, so that it is cleared by
        `--cache-clear`, turned off with the cache, kept out of version control, and not there in a fresh checkout: a
        gate in CI computes what it gates, unless someone chose to carry a folder from run to run.
        """
        from robustcheck.evaluation.store import open_store
        from robustcheck.evaluation.stored import written

        named = self.settings.store
        folder = Path(named) if named not in {None, "off"} else None
        if named is None:
            folder = self.cache_folder()
        try:
            store = open_store(folder) or self._store_of_workers()
        except RobustcheckError as error:
            if named not in {None, "off"}:
                raise
            store, lost = None, "records are not kept for the next run"
            if self.worker is not None:
                lost += " and not shared: each worker of pytest-xdist computes what its own tests need"
            self.said[f"{lost}: {error}"] = None
        if store is None:
            return None
        began = written(self.began)
        return replace(
            store,
            since=began if self.settings.refresh else "",
            began=began,
            say=self.said.setdefault,
        )

    @cached_property
    def workers(self) -> RayWorkers | None:
        """Those who compute for this process, as `--robustcheck-workers` says; None where it computes itself."""
        settings = self.settings
        if settings.workers is None:
            return None
        from robustcheck.evaluation.on_ray import RayWorkers
        from robustcheck.evaluation.workers import read_address
        from robustcheck.models import load_model

        load = None
        if "robustcheck_model" in self._asked:
            load = partial(load_model, settings.model or "sample", weights=settings.weights, device="cpu")
        return RayWorkers(
            read_address(settings.workers), settings.worker_options, load=load, say=self.said.setdefault
        )

    def check_workers(self, *, is_spread: bool) -> None:
        """Raise `RobustcheckError` where workers can't be had; `is_spread` is whether tests run in several processes."""
        settings = self.settings
        if settings.workers is None:
            if settings.worker_options is not None:
                raise RobustcheckError(
                    "--robustcheck-worker-options needs workers: --robustcheck-workers=ray"
                )
            return
        if find_spec("ray") is None:
            raise RobustcheckError(
                "--robustcheck-workers=ray needs Ray, which is not installed: pip install 'pytest-robustcheck[ray]'"
            )
        if is_spread:
            raise RobustcheckError(
                "--robustcheck-workers and pytest-xdist's -n do not go together, since each of its processes would ask Ray "
                "for all of the cluster: leave out the one or the other"
            )

    def close_workers(self) -> None:
        """End the workers, where there are any."""
        workers = vars(self).get("workers")
        if workers is not None:
            workers.close()

    def prune_store(self) -> None:
        """Keep the store within its limit, where this run had one."""
        store = vars(self).get("store") or (self.store if self.from_workers else None)
        if store is not None:
            from robustcheck.evaluation.store_care import prune, write_size

            count, freed = prune(store.folder, self.settings.store_limit)
            if count:
                limit = write_size(self.settings.store_limit)
                self.said[
                    f"the record store is kept to {limit}: {count} parts, {write_size(freed)}, taken away"
                ] = None

    def where_it_stopped(self) -> Iterator[str]:
        """Yield, for each evaluation that was interrupted, how far it had come, and how to go on."""
        for *_, robustness in self._made:
            done, count = robustness.standing
            if done < count:
                yield f"{robustness.classifier.name}: stopped at {done} of {count} images of {robustness.images.name}"
                if self.store is None:
                    yield "  nothing of that is kept: there is no record store (--robustcheck-store=DIR)"
                else:
                    yield f"  kept in {self.store.folder}: the same command goes on from there"

    def _store_of_workers(self) -> RecordStore | None:
        """Return a store for this run alone, by which workers of pytest-xdist share what they compute."""
        from robustcheck.evaluation.store import open_store

        return None if self.worker is None else open_store(self.worker.folder / "records")

    @cached_property
    def sharing(self) -> Sharing | None:
        """How a worker of pytest-xdist shares the work with the others; None where there are none."""
        if self.worker is None or self.store is None:
            return None
        from robustcheck.evaluation.sharing import Sharing

        return Sharing(self.worker.folder / "locks", ahead=self.worker.count)

    def stored_by_view(self) -> dict[str, Stored]:
        """Return how many of the records came from the store, by study and view, here and in workers."""
        merged: dict[str, Stored] = {}
        for taken in [*(robustness.stored for *_, robustness in self._made), *self.stored_by_workers]:
            for name, stored in taken.items():
                merged[name] = merged.get(name, stored) | stored
        return merged

    def stored(self) -> Stored | None:
        """Return how many of the records came from the store; None where none did."""
        taken = self.stored_by_view().values()
        if not any(each.records for each in taken):
            return None
        from robustcheck.evaluation.stored import Stored

        return sum(taken, Stored())

    @cached_property
    def baseline(self) -> Baseline | None:
        """What `--robustcheck-compare` names."""
        from robustcheck.baseline import Baseline

        return None if self.settings.compare is None else Baseline.read(self.settings.compare, self.root)

    def check_baselines(self) -> None:
        """Raise `RobustcheckError` where a baseline can't be saved under its name, or can't be read."""
        if self.settings.save is not None:
            from robustcheck.baseline import path_of

            path_of(self.settings.save, self.root)
        if self.settings.compare is not None:
            self.baseline  # noqa: B018 - reading it is the check

    def save_baseline(self) -> bool:
        """Write what `--robustcheck-save` names, if it names any, and return whether that went well."""
        name = self.settings.save
        if name is None:
            return True
        from robustcheck.baseline import save_baseline

        try:
            path = save_baseline(name, self.root, self._only_records(), failed=self.failed_integrity)
        except (RobustcheckError, OSError) as error:
            self.saved = f"ERROR: the baseline {name} was not saved: {error}"
            return False
        self.saved = f"saved as {path.relative_to(self.root)}"
        return True

    def write_reports(self, add_suite_property: Callable[[str, object], None] | None) -> bool:
        """Write the reports that are asked for, and those of the CI system, and return whether that went well."""
        asked, by_ci = outputs.are_asked_for(self.settings), outputs.is_read_by_ci(add_suite_property)
        if self.is_empty and not self.troubles:
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
        from robustcheck.evaluation.sanity import chance_warning

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
        if chance_warning(records, studies[0].classes) and CHANCE not in self.failed_integrity:
            self.failed_integrity.append(CHANCE)
        return records

    def _note(self, robustness: Robustness, subject: Subject, verdict: Verdict) -> None:
        from robustcheck.report import ReportedClaim

        self.verdicts[self.current_test].append((robustness, subject, verdict))
        if self.current_test is not None:
            views = (subject,) if isinstance(subject, View) else subject.views
            reported = ReportedClaim.of(
                verdict, robustness.classifier.name, views=views, place=place_of(self.current_test)
            )
            self.current_test.user_properties.append((ReportedClaim.PROPERTY, reported.to_json()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the claims and findings that a test reported, in this process or in a worker."""
        if report.failed:
            self._failed.add(report.nodeid)
            if f"::{INTEGRITY}" in report.nodeid:
                self.failed_integrity.append(report.nodeid.partition(f"::{INTEGRITY}")[2])
        if report.when != "teardown":
            return
        for name, text in report.user_properties:
            if name.startswith("robustcheck_"):
                self._take_in(name, str(text), report.nodeid)
        self.on_properties(report)

    def _take_in(self, name: str, text: str, test: str) -> None:
        """Note what a test's property reports, in the order of the tests."""
        from robustcheck.report import Check, Finding, ReportedClaim, Trouble

        if name == Finding.PROPERTY:
            self._add(self.findings, Finding.from_json(text), test)
        elif name == Check.PROPERTY:
            self._add(self.checks, Check.from_json(text), test)
        elif name == ReportedClaim.PROPERTY:
            claim = ReportedClaim.from_json(text)
            failed = test in self._failed and claim.state != "holds"
            self._add(self.claims, replace(claim, failed=failed), test)
        elif name == Trouble.PROPERTY:
            self._add(self.troubles, Trouble.from_json(text), test)

    def _add(self, others: list[Reported], reported: Reported, test: str) -> None:
        self._positions[id(reported)] = self.position.get(test, 0)
        insort(others, reported, key=lambda each: self._positions[id(each)])

    def studies(self) -> list[Study]:
        """Return what was evaluated in this process."""
        made = [robustness for *_, robustness in self._made if robustness.is_evaluated]
        if not made:
            return []
        from robustcheck.report import Study

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
        from robustcheck.report import FinishedRun, merge_studies

        studies = merge_studies([*self.studies(), *self.from_workers])
        return FinishedRun(
            studies,
            tuple(self.claims),
            tuple(self.findings),
            tuple(self.checks),
            self.baseline,
            tuple(self.troubles),
            self.facts,
            tuple(self.failed_integrity),
        )


def views_named_by(item: pytest.Item) -> Iterator[View]:
    """Yield the views that a test names, in claims, text constants or parameters, with the attacks on their way.

    A guess that costs nothing when it is wrong: what is named in the tests that will run is evaluated in one
    pass over the images instead of one pass a test.
    """
    from robustcheck.claims import parse_claim

    function = getattr(item, "function", None)
    texts = {*_constants(getattr(function, "__code__", None))}
    callspec = getattr(item, "callspec", None)
    texts.update(value for value in getattr(callspec, "params", {}).values() if isinstance(value, str))
    for text in sorted(texts):
        with suppress(RobustcheckError):
            views = parse_claim(text).views if any(sign in text for sign in "<>") else (parse(text),)
            for view in views:
                yield view
                if view.attack is not None:
                    yield view.attack


def _constants(code: CodeType | None) -> Iterator[str]:
    for constant in code.co_consts if code else ():
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _constants(constant)
        elif isinstance(constant, tuple):
            yield from (part for part in constant if isinstance(part, str))
