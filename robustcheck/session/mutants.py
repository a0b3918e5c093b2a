"""The mutation suite: the run's own tests are run again for each mutation, and what becomes of their claims is noted.

Each mutation is a test of its own, so pytest-xdist gives one to a worker at a time, and every report has it. Before it
runs, the tests that made claims are run with fresh fixtures on the changed set-up, without being reported. Imports inside
functions keep the start of a run lazy.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol
from _pytest.warnings import catch_warnings_for_item

from robustcheck.errors import RobustcheckError
from robustcheck.session import mutation_forecast
from robustcheck.session.collection import uses_fixtures
from robustcheck.session.evaluations import MUTATION
from robustcheck.session.session import Session
from robustcheck.text import first_line, printable

if TYPE_CHECKING:
    from robustcheck.mutation.mutation import Mutation, Setup
    from robustcheck.notation import View
    from robustcheck.options.table import Settings
    from robustcheck.report.run import MutantOutcome, MutantResult, ReportedClaim
    from robustcheck.robustness import Robustness

_PARAMETER = "mutation"
_RECORDS = (
    "--robustcheck-records has the images that this suite evaluates, few of the set, without any mutation; "
    "--robustcheck-json has the mutations"
)
_ROUNDING = 1e-6
"""Changes of a measure below this are floating point's."""


class Mutant:
    """A mutation in force: it changes the set-ups of the evaluations that are made."""

    def __init__(self, mutation: Mutation, views: Sequence[View]) -> None:
        self.mutation, self.name = mutation, mutation.name
        self._views = views

    def changed(self, setup: Setup) -> Setup:
        """Return the changed set-up; skips the test that asks where the mutation does not apply."""
        from robustcheck.mutation.mutation import DoesNotApply, Subject

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.mutation.applied(Subject(setup, self._views))
        except DoesNotApply as reason:
            pytest.skip(printable(str(reason)))


@dataclass(frozen=True)
class TestRun:
    """What one test did, once."""

    __test__ = False  # pytest is not to collect it

    claims: tuple[ReportedClaim, ...] = ()
    evaluations: tuple[Robustness, ...] = ()
    """The evaluation of each of its verdicts."""
    failed: bool = False
    error: str = ""
    skipped: str = ""
    """The reason."""

    @property
    def is_sound(self) -> bool:
        """Whether it passed, with claims that a mutation can turn."""
        return not self.failed and not self.skipped and bool(self.claims)


@dataclass(eq=False)
class Mutants:
    """A plugin of pytest, registered for each run."""

    session: Session
    before: dict[str, TestRun] = field(default_factory=dict)
    """By test, what it did on the unchanged set-up."""
    results: dict[str, MutantResult] = field(default_factory=dict)
    _seconds: float = 0.0
    _is_forecast: bool = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run the tests under a mutation before the test that reports it; note what a test does without any."""
        if self.session.settings.suite != MUTATION:
            return (yield)
        mutation = mutation_of(item)
        if mutation is not None:
            self._run_under(mutation, item)
            return (yield)
        started = time.monotonic()
        result = yield
        if uses_fixtures(item):
            reports: list[pytest.TestReport] = item.stash[_REPORTS]
            self.before[item.nodeid] = self._noted(item, reports)
            self._seconds += time.monotonic() - started
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the reports of a test until it has ended."""
        report = yield
        if report.when == "setup":
            item.stash[_REPORTS] = []
        item.stash.setdefault(_REPORTS, []).append(report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run where the score is below what is required, or where there was no claim to examine."""
        if self.session.settings.suite != MUTATION or hasattr(session.config, "workeroutput"):
            return
        if not self.session.log.mutants or self.session.is_interrupted:
            return
        if self.session.settings.records is not None:
            self.session.resources.messages[_RECORDS] = None
        from robustcheck.report.mutation import mutation_summary

        summary = mutation_summary(self.session.finished())
        if summary is None or not summary.problem:
            return
        session.config.hook.pytest_runtest_logreport(report=_failure(summary.problem))
        if session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    # ------------------------------------------------------------------------------------------ running

    def _run_under(self, mutation: Mutation, item: pytest.Item) -> None:
        tests = [each for each in item.session.items if mutation_of(each) is None and uses_fixtures(each)]
        item.session._setupstate.teardown_exact(None)  # noqa: SLF001 - as plugins do that run a test again
        missing = [test for test in tests if test.nodeid not in self.before]
        if missing:
            started = time.monotonic()
            self.before.update(self._run(missing, None))
            self._seconds += time.monotonic() - started
        sound = [test for test in tests if self.before[test.nodeid].is_sound]
        self._forecast(item, len(sound))
        views = [view for test in sound for view in self._views(self.before[test.nodeid])]
        with _seeded(self.session.settings.seed):  # some faults are random
            runs = self._run(sound, Mutant(mutation, views)) if sound else {}
        self.results[mutation.name] = self._result(mutation, runs)

    def _run(self, tests: Sequence[pytest.Item], mutant: Mutant | None) -> dict[str, TestRun]:
        """Run tests with fresh fixtures, without reporting them."""
        runs: dict[str, TestRun] = {}
        with self.session.evaluations.under(mutant), self._unreported():
            for test, following in zip(tests, [*tests[1:], None], strict=True):
                kept, test.user_properties = test.user_properties, []
                silent: Any = SimpleNamespace(pytest_warning_recorded=_Silent())
                try:
                    with catch_warnings_for_item(test.config, silent, "runtest", test):
                        reports = runtestprotocol(test, log=False, nextitem=following)
                finally:
                    test.user_properties = kept
                runs[test.nodeid] = self._noted(test, reports)
            made = {id(each) for each in self.session.evaluations}
            return {name: _kept(run, made) for name, run in runs.items()}

    @contextmanager
    def _unreported(self) -> Iterator[None]:
        """Write no evidence of claims that fail, and let the verdicts of the tests be those from before."""
        current, self.session.is_mutated = self.session.current_test, True
        try:
            yield
        finally:
            self.session.current_test, self.session.is_mutated = current, False

    def _noted(self, test: pytest.Item, reports: Sequence[pytest.TestReport]) -> TestRun:
        verdicts = self.session.verdicts
        failed = [report for report in reports if report.failed or hasattr(report, "wasxfail")]
        skipped = [report for report in reports if report.skipped and not hasattr(report, "wasxfail")]
        return TestRun(
            tuple(claim for claim in verdicts.reported(test) if claim.role == "claim"),
            tuple(noted.robustness for noted in verdicts.of(test)),
            failed=bool(failed),
            error=_message(failed[0]) if failed else "",
            skipped=_reason(skipped[0]) if skipped else "",
        )

    def _views(self, run: TestRun) -> Iterator[View]:
        from robustcheck.notation import parse

        return (parse(view) for claim in run.claims for view in claim.views)

    def _forecast(self, item: pytest.Item, tests: int) -> None:
        """Say once, before the first mutation, how long all will take."""
        if self._is_forecast or not tests:
            return
        self._is_forecast = True
        count = sum(mutation_of(each) is not None for each in item.session.items)
        mutation_forecast.tell(item.config, count, self._seconds, is_stored=bool(self.session.stored()))

    # ----------------------------------------------------------------------------------------- results

    def _result(self, mutation: Mutation, runs: dict[str, TestRun]) -> MutantResult:
        from robustcheck.report.run import MutantResult

        outcome, reason, claims = _conclusion(mutation, self.before, runs)
        seen = max((claim.seen for run in self.before.values() for claim in run.claims), default=0)
        return MutantResult(
            mutation.name, outcome, mutation.what, mutation.advice, tuple(dict.fromkeys(claims)), reason, seen
        )


Conclusion = tuple["MutantOutcome", str, "list[str]"]
"""What became of a mutation, why, and the claims that it is about."""


def _conclusion(mutation: Mutation, before: Mapping[str, TestRun], runs: Mapping[str, TestRun]) -> Conclusion:
    """Return what became of a mutation, from what each test did before it and under it."""
    if not runs:
        return "skipped", "no claim holds before any mutation", []
    ran = {name: run for name, run in runs.items() if not run.skipped}
    if not ran:
        return "skipped", next(iter(runs.values())).skipped, []
    fresh = {name: run for name, run in ran.items() if run.evaluations or run.failed}
    if not fresh:
        return "not rerunnable", "the tests asked for no evaluation: a module keeps one", []
    red = {name: run for name, run in fresh.items() if run.failed and not _is_open(run)}
    if red:
        refuted = [claim.text for run in red.values() for claim in _failing(run)]
        errors = [f"{name}: {run.error}" for name, run in red.items() if not _failing(run)]
        return "caught", "; ".join(errors), refuted
    if not mutation.is_of_baseline and all(_same_records(before[name], run) for name, run in fresh.items()):
        return "equivalent", "it changes no record", []
    return _of_green([claim for run in fresh.values() for claim in run.claims])


def _of_green(claims: Sequence[ReportedClaim]) -> Conclusion:
    undecided = [claim for claim in claims if claim.state == "not shown"]
    if undecided:
        first = undecided[0]
        return (
            "not resolvable",
            f"on {first.seen} of {first.population} images",
            [each.text for each in undecided],
        )
    return "survived", "", [claim.text for claim in claims]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from a fixed random state, so that a fault has the same outcome in each run; then the process's is back."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


class _Silent:
    """Takes the place of the hook for warnings: those under a mutation are nobody's."""

    def call_historic(self, **_: object) -> None:
        """Take a warning."""


_REPORTS = pytest.StashKey[list[pytest.TestReport]]()


def mutation_of(item: pytest.Item) -> Mutation | None:
    """Return the mutation that a test of the suite reports; None for any other test."""
    if not item.nodeid.startswith(mutation_forecast.PREFIX):
        return None
    mutation: Mutation | None = getattr(item, "callspec", SimpleNamespace(params={})).params.get(_PARAMETER)
    return mutation


def check(settings: Settings) -> None:
    """Raise `RobustcheckError` for options that do not go with the suite, or need it."""
    if settings.suite == MUTATION and settings.save is not None:
        raise RobustcheckError(
            f"--robustcheck-save would save few images, with --robustcheck-suite={MUTATION}: save the baseline in a run "
            "without the suite"
        )
    if "mutation-score" in settings.typed and settings.suite != MUTATION:
        raise RobustcheckError(
            f"--robustcheck-mutation-score needs --robustcheck-suite={MUTATION}: give both, or leave it out"
        )


def _failure(problem: str) -> pytest.TestReport:
    name = "mutation_score"
    return pytest.TestReport(
        nodeid=f"robustcheck/{MUTATION}::{name}",
        location=(f"robustcheck/{MUTATION}", None, name),
        keywords={},
        outcome="failed",
        longrepr=problem,
        when="call",
    )


def _kept(run: TestRun, made: set[int]) -> TestRun:
    """Return a run without what it kept from an earlier one, on whose evaluations nothing can be concluded."""
    fresh = tuple(each for each in run.evaluations if id(each) in made)
    if run.evaluations and not fresh:
        return TestRun(skipped=run.skipped)
    return TestRun(run.claims, fresh, failed=run.failed, error=run.error, skipped=run.skipped)


def _failing(run: TestRun) -> list[ReportedClaim]:
    return [claim for claim in run.claims if claim.failed]


def _is_open(run: TestRun) -> bool:
    """Whether a test failed only because a claim is not shown on these images."""
    failing = _failing(run)
    return bool(failing) and all(claim.state == "not shown" for claim in failing)


def _same_records(before: TestRun, now: TestRun) -> bool:
    """Whether a test was about the same records, image by image."""
    if len(before.evaluations) != len(now.evaluations):
        return False
    pairs = {
        (id(old), id(new)): (old, new) for old, new in zip(before.evaluations, now.evaluations, strict=True)
    }
    return all(_equal(old, new) for old, new in pairs.values())


def _equal(old: Robustness, new: Robustness) -> bool:
    import numpy as np

    then, now = old.records, new.records
    if then.ids != now.ids or not np.array_equal(then.labels, now.labels):
        return False
    return all(
        np.allclose(then.columns[view][name], now.columns[view][name], rtol=0, atol=_ROUNDING, equal_nan=True)
        for view in then.columns.keys() & now.columns.keys()
        for name in ("prediction", "correct", "kept", "p_top")
    )


def _message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return first_line(str(crash.message if crash else report.longrepr), 200)


def _reason(report: pytest.TestReport) -> str:
    found = report.longrepr
    text = str(found[2]) if isinstance(found, tuple) else str(found)
    return first_line(text.removeprefix("Skipped: "), 200)
