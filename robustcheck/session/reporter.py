"""The end of a run: baseline, reports, and the section on the terminal.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from textwrap import wrap
from typing import Any

import pytest

from robustcheck.errors import RobustcheckError
from robustcheck.report import writers
from robustcheck.report.forecast import CLOSING, duration
from robustcheck.session import xdist
from robustcheck.session.baseline_saver import BaselineSaver
from robustcheck.session.evaluations import Progress
from robustcheck.session.interruption import stopped_at
from robustcheck.session.openmp import ADVICE
from robustcheck.session.results import to_plain
from robustcheck.session.session import Session
from robustcheck.text import printable

_NO_CLAIM = "no test made a claim: there is nothing to forecast"


class Reporter:
    """A plugin of pytest, registered for each run."""

    def __init__(self, session: Session, saver: BaselineSaver) -> None:
        self._session, self._saver = session, saver
        self._lines: list[str] = []
        """What became of the baseline and the reports."""
        self._annotations: list[str] = []
        """Workflow commands of GitHub."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Save the baseline and write the reports that are asked for; a worker of pytest-xdist sends its results.

        First of all, since the JUnit file, which gets numbers from here, is written by the same hook.
        """
        ours = self._session
        ours.has_ended = exitstatus != pytest.ExitCode.INTERNAL_ERROR
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[xdist.RESULTS] = to_plain(ours)
            return
        ours.is_interrupted = exitstatus in {pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR}
        ours.close()
        for entry in ours.clock.entries():
            session.config.hook.pytest_runtest_logreport(report=entry)
        is_saved = self._save_baseline(session)
        is_written = self._write_reports(_suite_properties(session.config))
        if not (is_saved and is_written) and session.exitstatus in {
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        }:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, the claims and the findings, before a plugin's own summary that may end in an error."""
        ours = self._session
        is_forecast = ours.settings.forecast and not terminalreporter.config.option.collectonly
        said = self._lines or ours.resources.messages or ours.resources.failures
        if not (is_forecast or said) and ours.is_empty:
            return
        terminalreporter.section("robustcheck")
        summary = self._summary(terminalreporter)
        for painted in summary:  # printable, but for the colours of verdicts
            terminalreporter.line(painted)
        for number, remark in enumerate(self._remarks(terminalreporter)):
            if summary and not number:
                terminalreporter.line("")
            terminalreporter.line(printable(remark))
        for command in self._annotations:
            terminalreporter.line(command)

    def _summary(self, reporter: pytest.TerminalReporter) -> list[str]:
        """Return the table, what it was made with, and the verdicts, which are in colour where the terminal has any."""
        if self._session.is_empty:
            return []
        from robustcheck.report.formats.terminal import render
        from robustcheck.report.summary import summary_of

        writer = reporter._tw  # noqa: SLF001 - there is no public way
        return render(
            summary_of(self._session.finished(), plots=False),
            encoding=getattr(writer._file, "encoding", None) or "ascii",  # noqa: SLF001 - as above
            verbosity=reporter.config.get_verbosity(),
            paint=lambda text, colour: writer.markup(text, **{colour: True}),
        )

    def _remarks(self, reporter: pytest.TerminalReporter) -> Iterator[str]:
        """Yield what else there is to know; with -q what went wrong and what was asked for."""
        session, is_quiet = self._session, reporter.config.get_verbosity() < 0
        if session.lost_workers:
            count = session.lost_workers
            yield f"{count} worker{'s' * (count > 1)} of pytest-xdist crashed: records that only they had are missing"
        if session.is_interrupted:
            yield from stopped_at(session.evaluations, session.resources)
            if mutants := session.log.mutants:
                yield f"interrupted after {len(mutants)} mutations: the score is of these alone, and gates nothing"
        if not is_quiet:
            yield from self._images_taken()
            stored = session.stored()
            yield from [f"records: {stored}"] if stored else []
            yield from session.resources.messages
        yield from session.resources.failures
        yield from self._lines
        if not (is_quiet or session.is_empty):
            yield from filter(None, [reporter.config.stash.get(ADVICE, "")])
        if session.settings.forecast and not reporter.config.option.collectonly:
            why = "interrupted: there is no forecast" if session.is_interrupted else _NO_CLAIM
            yield from [why] * session.is_empty
            yield CLOSING

    def _images_taken(self) -> Iterator[str]:
        """Yield how many images the claims of a run that stopped early took, and which took most."""
        if not self._session.settings.stop_early or not self._session.log.claims:
            return
        from robustcheck.report.run import required

        claims = [claim for claim in required(self._session.log.claims) if claim.population]
        if not claims:
            return
        most = max(claims, key=lambda claim: claim.seen)
        least = min(claim.seen for claim in claims)
        span = f"{most.seen:,}" if least == most.seen else f"{least:,} to {most.seen:,}"
        text = f"images: {span} of {most.population:,} for a claim, {duration(self._session.clock.seconds)} in all"
        yield from wrap(f"{text}; most for {most.title} (--robustcheck-forecast tells in advance)", 80)

    def _save_baseline(self, session: pytest.Session) -> bool:
        """Save the baseline that is asked for, if any, and return whether that went well."""
        name = self._session.settings.save
        if name is None or session.config.option.collectonly:
            return True
        if self._session.settings.forecast:
            self._lines.append(f"the baseline {name} was not saved: a forecast evaluates a pilot alone")
            return True
        try:
            self._lines.append(self._saver.save(name, session))
        except (RobustcheckError, OSError) as error:
            self._lines.append(f"ERROR: the baseline {name} was not saved: {error}")
            return False
        return True

    def _write_reports(self, add_suite_property: Callable[[str, object], None] | None) -> bool:
        """Write the reports that are asked for, and those of the CI system, and return whether that went well."""
        session = self._session
        asked, by_ci = writers.are_asked_for(session.settings), writers.is_read_by_ci(add_suite_property)
        by_ci = by_ci and not session.settings.forecast
        if session.is_empty and not session.log.troubles:
            self._lines += ["no report was written: nothing was evaluated"] * asked
            return True
        if not asked and not by_ci:
            return True
        run = writers.shown(session.finished(), session.settings, session.root)
        try:
            self._lines += writers.write(run, session.settings)
            if by_ci:
                family = session.log.junit_family or ""
                self._lines += writers.write_for_ci(run, add_suite_property, junit_family=family)
                self._annotations += writers.error_annotations(run, session.root)
        except RobustcheckError as error:
            self._lines.append(f"ERROR: {error}")
            return False
        return True


def new_progress(config: pytest.Config, detail: Callable[[], str]) -> Progress | None:
    """Return what shows the progress of an evaluation; None in a worker of pytest-xdist, and with -q."""
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or config.get_verbosity() < 0:
        return None
    from robustcheck.report.progress import Progress as Shown

    capture: Any = config.pluginmanager.getplugin("capturemanager")

    def write(text: str) -> None:
        with nullcontext() if capture is None else capture.global_and_fixture_disabled():
            reporter.write(text, flush=True)

    return Shown(write, rewrites=reporter.isatty and "CI" not in os.environ, detail=detail)


def _suite_properties(config: pytest.Config) -> Callable[[str, object], None] | None:
    """Return what adds a property to the suite of the JUnit file, if one is written."""
    # The fixture record_testsuite_property does this, but in a controller of pytest-xdist there are no fixtures.
    found = (getattr(plugin, "add_global_property", None) for plugin in config.pluginmanager.get_plugins())
    return next(filter(None, found), None)
