"""One object per pytest run: it owns what is evaluated, notes the verdicts, and hands reports a finished run.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from robustcheck.options.table import Settings
from robustcheck.session.evaluation_clock import EvaluationClock
from robustcheck.session.evaluations import Evaluations, NewProgress
from robustcheck.session.noted_verdicts import NotedVerdicts
from robustcheck.session.resources import Resources
from robustcheck.session.result_log import ResultLog, is_ours
from robustcheck.system import utc_time

if TYPE_CHECKING:
    from robustcheck.claims import Subject, Verdict
    from robustcheck.notation import View
    from robustcheck.report.forecast import RunForecast
    from robustcheck.report.panel import Panel
    from robustcheck.report.run import FinishedRun
    from robustcheck.report.study import Study
    from robustcheck.robustness import Robustness
    from robustcheck.session.xdist import Worker
    from robustcheck.store.stats import CacheStats

KEY = pytest.StashKey["Session"]()


class Session:
    """What one pytest run knows of robustness; nothing is imported or computed before it is asked for."""

    def __init__(
        self,
        settings: Settings,
        *,
        root: Path,
        command_line: str,
        new_progress: NewProgress,
        cache_folder: Callable[[], Path | None],
        worker: Worker | None,
        log: ResultLog,
    ) -> None:
        self.settings = settings
        self.root = root
        self.log = log
        self.resources: Resources = Resources(settings, root, worker=worker, cache_folder=cache_folder)
        self.planned: dict[View, None] = {}
        """The views that the tests to be run name."""
        self.claimed: list[View] = []
        """Those of them whose attacks are to be tested."""
        self.clock: EvaluationClock = EvaluationClock(settings.timeout)
        self.evaluations: Evaluations = Evaluations(
            self.resources,
            planned=self.planned,
            new_progress=new_progress,
            on_verdict=self._note,
            on_truth=self._asked,
            clock=self.clock,
        )
        self.current_test: pytest.Item | None = None
        self.verdicts: NotedVerdicts = NotedVerdicts()
        self.is_interrupted = False
        self.is_mutated = False
        """The test that runs is examined under a mutation, and not reported."""
        self.forecast: RunForecast | None = None
        """What a run that was asked for a forecast found."""
        self.lost_workers = 0
        """How many workers of pytest-xdist died without sending results."""
        self.has_ended = False
        """The last test has run."""
        self._command_line, self._date = command_line, utc_time(time.time())
        self._studies_of_others: list[Study] = []
        self._stored_by_others: list[Mapping[str, CacheStats]] = []
        self._panels: dict[int, tuple[Panel, ...]] = {}

    @property
    def is_empty(self) -> bool:
        """Nothing was evaluated, here or in another process."""
        if self.settings.forecast:
            return self.forecast is None
        made = any(robustness.is_evaluated for robustness in self.evaluations)
        return not made and not self._studies_of_others and self.log.is_empty

    def begin(self, item: pytest.Item) -> None:
        """Start an attempt of a test: plugins may run it several times, and the last one counts."""
        self.current_test = item
        self.verdicts.begin(item)
        self.evaluations.begin(item)
        item.user_properties[:] = [entry for entry in item.user_properties if not is_ours(entry)]

    def studies(self) -> list[Study]:
        """Return what was evaluated in this process, and in those that sent it their results."""
        made = [robustness for robustness in self.evaluations if robustness.is_evaluated]
        if self.settings.forecast:
            return []  # a pilot's numbers are no result
        if not made:
            return self._studies_of_others
        from robustcheck.report.study import Study

        own = [
            Study(robustness.records, robustness.classifier.class_count, self._panels_of(robustness))
            for robustness in made
        ]
        return own + self._studies_of_others

    def stored_by_view(self) -> dict[str, CacheStats]:
        """Return how many of the records came from the store, by study and view, here and in workers."""
        merged: dict[str, CacheStats] = {}
        for taken in [*(robustness.stored for robustness in self.evaluations), *self._stored_by_others]:
            for name, stored in taken.items():
                merged[name] = merged.get(name, stored) | stored
        return merged

    def stored(self) -> CacheStats | None:
        """Return how many of the records came from the store; None if none did."""
        taken = self.stored_by_view().values()
        if not any(each.records for each in taken):
            return None
        from robustcheck.store.stats import CacheStats

        return sum(taken, CacheStats())

    def finished(self) -> FinishedRun:
        """Return all there is to report, with the results of the workers."""
        from robustcheck.report.run import FinishedRun
        from robustcheck.report.study import merge_studies

        log = self.log
        return FinishedRun(
            merge_studies(self.studies()),
            tuple(log.claims),
            tuple(log.findings),
            tuple(log.checks),
            tuple(log.mutants),
            self.settings.mutation_score,
            self.resources.baseline,
            tuple(log.troubles),
            self._facts(),
            tuple(log.failed_integrity),
            self.forecast,
        )

    def add_results(
        self,
        studies: Sequence[Study],
        stored: Mapping[str, CacheStats],
        messages: Iterable[str],
        facts: Mapping[str, str],
    ) -> None:
        """Add the results of another process: a worker of pytest-xdist, or a test in a process of its own."""
        self._studies_of_others += studies
        self._stored_by_others.append(stored)
        self.resources.messages.update(dict.fromkeys(messages))
        self.resources.facts.update(facts)

    def close(self) -> None:
        """End the workers of the evaluations, and keep the record store within its limit."""
        if self._studies_of_others:
            self.resources.store  # noqa: B018 - others filled it, and this process prunes it
        self.resources.close()

    def _facts(self) -> dict[str, str]:
        """Return how and when the run was started, and how it went, as reports show it."""
        facts = {"command line": self._command_line, "date": self._date, **self.resources.facts}
        if self.is_interrupted:
            facts["interrupted"] = "the run was interrupted: these are the results up to then"
        if stored := self.stored():
            facts["records"] = str(stored)
        return facts

    def _note(self, robustness: Robustness, subject: Subject, verdict: Verdict) -> None:
        """Note a verdict for the report of the test that is running."""
        if self.current_test is not None:
            self.verdicts.note(self.current_test, robustness, subject, verdict)

    def _asked(self, verdict: Verdict) -> bool | None:
        """Note that the truth of a verdict was asked for; return it where none is judged.

        It is what an assertion requires; where nothing is asserted, such as in `if C:`, what the pilot measured.
        """
        noted = self.verdicts.asked(self.current_test, verdict)
        if not self.settings.forecast:
            return None
        return not noted.is_negated if noted and noted.is_claim else verdict.margin >= 0

    def _panels_of(self, robustness: Robustness) -> tuple[Panel, ...]:
        """Return pictures of some images if a page was asked for, made once, after the last test."""
        if self.settings.report is None or not self.has_ended:
            return ()
        if id(robustness) not in self._panels:
            from robustcheck.report.pictures import panels_of

            self._panels[id(robustness)] = panels_of(robustness)
        return self._panels[id(robustness)]
