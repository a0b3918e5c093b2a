"""`--robustcheck-forecast`: tests run on a pilot of few images, their claims are noted, and what they need is simulated.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from robustcheck.errors import RobustcheckError
from robustcheck.session.session import Session
from robustcheck.text import printable

if TYPE_CHECKING:
    from robustcheck.claims.forecast import OldMeasures, Question
    from robustcheck.notation import View
    from robustcheck.records.old_run import OldRun
    from robustcheck.report.forecast import ClaimForecast, RunForecast
    from robustcheck.robustness import Robustness

_TIMED = 32
"""The least number of the pilot's images that are timed, if it has so many."""
_REASON = "forecast only: no claim was judged"
_STOPPED = (
    "an assertion failed on the pilot, where each claim counts as true; claims after it are missing here"
)


@dataclass(frozen=True, eq=False)
class AskedClaim:
    """A claim as a test made it."""

    test: str
    name: str
    text: str
    robustness: Robustness
    question: Question

    @property
    def views(self) -> frozenset[View]:
        """The views that it needs."""
        return frozenset(view for _, view in self.question.terms)


class Forecaster:
    """A plugin of pytest, registered for each run; it does something where a forecast is asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asked: list[AskedClaim] = []
        self._notes: dict[str, None] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Refuse what a forecast can't be made of."""
        settings, option = self._session.settings, session.config.getoption
        if not settings.forecast:
            return
        if settings.suite is not None:
            raise pytest.UsageError(
                printable(
                    "--robustcheck-forecast is about the claims of your own tests and robustcheck.toml, got "
                    f"--robustcheck-suite={settings.suite}: leave out the one or the other"
                )
            )
        if option("dist", "no") != "no" or option("forked", default=False):
            raise pytest.UsageError(
                "--robustcheck-forecast times a run in one process, got workers of pytest-xdist or pytest-forked: leave out "
                "-n (or add -n 0) and --forked; a pilot takes 64 images"
            )

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Run the tests that can make claims, and no others."""
        if not self._session.settings.forecast:
            return
        others = [item for item in items if not _can_claim(item)]
        if others:
            items[:] = [item for item in items if _can_claim(item)]
            config.hook.pytest_deselected(items=others)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note the claims of a test, and report it as skipped: nothing was judged. Other errors stay what they are."""
        if self._session.settings.forecast and call.when == "call":
            self._asked += self._claims_of(item)
            error = None if call.excinfo is None else call.excinfo.value
            if isinstance(error, AssertionError):
                self._notes[f"{item.nodeid}: {_STOPPED}"] = None
            if error is None or isinstance(error, AssertionError):
                call.excinfo = _skipped()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, nextitem: pytest.Item | None) -> Generator[None, object, object]:
        """Conclude before the last test's fixtures are gone; that test is in error where there is no forecast."""
        problem = self._conclude() if nextitem is None else None
        result = yield
        if problem is not None:
            raise problem
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, object, object]:
        """Conclude before reports are written, where the last test did not run."""
        if exitstatus not in {pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR}:
            self._conclude()
        return (yield)

    def _claims_of(self, item: pytest.Item) -> Iterator[AskedClaim]:
        for noted in self._session.verdicts.of(item):
            for question in getattr(noted.robustness.decider, "questions", ()):
                if question.verdict is noted.decided:
                    is_own = question.text == noted.decided.claim
                    text = noted.verdict.claim if is_own else question.text
                    yield AskedClaim(item.nodeid, item.name, text or "", noted.robustness, question)

    def _conclude(self) -> RobustcheckError | None:
        """Simulate the claims and time their views, once; return the error that leaves the run without a forecast."""
        ours = self._session
        if not ours.settings.forecast or ours.forecast is not None or not (self._asked or self._notes):
            return None
        from robustcheck.report.forecast import RunForecast

        try:
            ours.forecast = self._forecast()
        except RobustcheckError as error:
            ours.forecast = RunForecast(notes=(printable(f"there is no forecast: {error}"),))
            return error
        return None

    def _forecast(self) -> RunForecast:
        from robustcheck.claims.forecast import SIMULATIONS
        from robustcheck.report.forecast import RunForecast

        ours = self._session

        studies = [
            StudyForecast(ours, made, self._asked, self._notes)
            for made in ours.evaluations
            if made.is_evaluated
        ]
        claims = {asked: found for study in studies for asked, found in study.claims.items()}
        return RunForecast(
            tuple(claims[asked] for asked in self._asked if asked in claims),
            ours.settings.stop_early,
            SIMULATIONS if ours.settings.stop_early else 0,
            pilot=sum(len(study.robustness.images) for study in studies),
            timed=sum(study.count for study in studies),
            device=", ".join(dict.fromkeys(str(study.robustness.classifier.device) for study in studies)),
            seconds=sum(study.seconds(high=False) for study in studies),
            seconds_high=sum(study.seconds(high=True) for study in studies),
            notes=tuple(map(printable, self._notes)),
        )


@dataclass(frozen=True, eq=False)
class StudyForecast:
    """The claims about one classifier on one image set."""

    session: Session
    robustness: Robustness
    asked: Iterable[AskedClaim]
    """Of all classifiers and image sets."""
    notes: dict[str, None]

    @property
    def count(self) -> int:
        """The number of images that are timed."""
        return min(len(self.robustness.images), max(_TIMED, self.robustness.batch_size))

    @property
    def population(self) -> int:
        """The size of the image set."""
        return len(self.robustness.sampled_from)

    @cached_property
    def claims(self) -> dict[AskedClaim, ClaimForecast]:
        """The forecast of each claim."""
        own = [asked for asked in self.asked if asked.robustness is self.robustness]
        return {asked: self._forecast(asked) for asked in own}

    def seconds(self, *, high: bool) -> float:
        """Return how long all claims take together, in the median or at the upper quantile.

        Without early stopping all views are evaluated together. Else each claim in turn evaluates those that it needs and
        those before it have not.
        """
        read: dict[View, None] = getattr(self.robustness.decider, "read", {})
        if not self.session.settings.stop_early:
            views = frozenset(self.robustness.records.columns)
            return self._per_image(views) * self.population
        needs = [
            (asked.views, found.images_high if high else found.images) for asked, found in self.claims.items()
        ]
        needs += [(frozenset([view]), self.population) for view in read]
        total = self._per_image(frozenset()) * max((images for _, images in needs), default=0)
        known: set[View] = set()
        for views, _ in needs:
            new = views - known - {_clean()}
            known |= new
            if new:
                alone = max(0.0, self._per_image(new) - self._per_image(frozenset()))
                total += alone * max(images for others, images in needs if others & new)
        return total

    def _forecast(self, asked: AskedClaim) -> ClaimForecast:
        from robustcheck.claims.forecast import churn, forecast
        from robustcheck.report.forecast import ClaimForecast

        settings, question, population = self.session.settings, asked.question, self.population
        budget = min(population, settings.budget or population) if settings.stop_early else population
        old = self._old(question) if settings.stop_early else None
        images = high = budget
        undecided, source = 0.0, "all images"
        if settings.stop_early:
            found = forecast(
                question, population, batch=self.robustness.batch_size, old=old, seed=settings.seed
            )
            images, high, undecided = found.median, found.high, found.undecided
            source = "pilot" if old is None else "assisted" if old.assists else "baseline"
        changed, of = churn(question, old) if old is not None and old.assists else (None, 0)
        per_image = self._per_image(asked.views)
        return ClaimForecast(
            asked.text,
            asked.name,
            asked.test,
            self.robustness.classifier.name,
            tuple(map(str, sorted(asked.views, key=str))),
            population,
            budget,
            images,
            high,
            undecided,
            per_image * images,
            per_image * high,
            source,  # type: ignore[arg-type]  # one of the words above
            len(question.table) if old is None else len(old.whole),
            changed,
            of,
        )

    @cached_property
    def _timings(self) -> dict[frozenset[View], float]:
        self.robustness.seconds(count=1)  # what only the first call takes
        return {}

    def _per_image(self, views: frozenset[View]) -> float:
        """Return the seconds that an image takes under some views, and clean, together."""
        views = views - {_clean()}
        if views not in self._timings:
            self._timings[views] = self.robustness.seconds(*views, count=self.count) / self.count
        return self._timings[views]

    @cached_property
    def _old_runs(self) -> tuple[OldRun, OldRun] | None:
        """The baseline paired with the whole set, and with the pilot's images; None where it can't help."""
        import numpy as np

        from robustcheck.records.old_run import OldRun

        baseline, made = self.session.resources.baseline, self.robustness
        if baseline is None:
            return None
        try:
            whole, few = (
                OldRun.of(baseline, images.names, images.labels, np.arange(len(images)))
                for images in (made.sampled_from, made.images)
            )
        except RobustcheckError as error:
            self.notes[f"the baseline {baseline.path.name} does not help to forecast: {error}"] = None
            return None
        return whole, few

    def _old(self, question: Question) -> OldMeasures | None:
        from robustcheck.claims.forecast import OldMeasures

        if self._old_runs is None:
            return None
        whole, few = (run.measures(question.terms) for run in self._old_runs)
        if whole is None or few is None:
            return None
        assists = self.session.settings.assist == "auto" and question.verdict.about == "testset"
        if question.is_paired and not assists:
            return None
        return OldMeasures(whole, few, assists)


def _clean() -> View:
    from robustcheck.notation import X

    return X


def _skip() -> NoReturn:
    raise pytest.skip.Exception(_REASON, _use_item_location=True)


def _skipped() -> pytest.ExceptionInfo[BaseException]:
    """Return what pytest takes for a skipped test, with the place of that test."""
    try:
        _skip()
    except pytest.skip.Exception as error:
        return pytest.ExceptionInfo.from_exception(error)


def _can_claim(item: Any) -> bool:
    return "robustness" in (getattr(item, "fixturenames", None) or ())
