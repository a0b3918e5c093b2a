"""What a failing test says: the claim, its numbers and the images that count against it, and none of our frames.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

from robustcheck.errors import ClaimFailed, RobustcheckError
from robustcheck.session.collection import uses_fixtures
from robustcheck.session.failure_text import explain_assertion, explanation, summarise
from robustcheck.session.session import Session
from robustcheck.text import printable, printable_lines, shell_command
from robustcheck.user_code import is_ours

if TYPE_CHECKING:
    from robustcheck.options.table import Settings
    from robustcheck.session.asserted_claim import NotedVerdict


class FailureReports:
    """A plugin of pytest, registered for each run, that explains failures."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Know which test a claim belongs to, and forget what an earlier attempt of it reported."""
        self._session.begin(item)

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> list[str] | None:
        """Explain a claim that did not hold."""
        if "robustcheck.claims" not in sys.modules:
            return None
        from robustcheck.claims import Estimate, Ratio
        from robustcheck.claims.claim import MIRRORED
        from robustcheck.claims.verdict import BESIDE_MARK

        if op not in MIRRORED:
            return None
        if isinstance(left, Estimate | Ratio):
            claim = left.claim(MIRRORED[MIRRORED[op]], right)
        elif isinstance(right, Estimate | Ratio):
            claim = right.claim(MIRRORED[op], left)
        else:
            return None
        noted = self._session.verdicts.latest(self._session.current_test, claim)
        if noted is None:
            return None
        if noted.verdict.state == "holds":
            return [printable(f"{noted.verdict.claim} holds")]
        noted.is_explained = True
        return [*map(printable, noted.verdict.explain(width=BESIDE_MARK))]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Leave our own frames out of a user's mistake, and add to a failed claim the images that count against it."""
        if call.excinfo is not None:
            self._trim_traceback(call.excinfo, item)
        if call.when == "teardown" and not self._session.settings.forecast:
            self._add_claims(item)
        error, entry = (None, None) if call.excinfo is None else (call.excinfo.value, call.excinfo.tb)
        verdicts = self._session.verdicts
        if isinstance(error, AssertionError):
            verdicts.mark_failed(item, error, entry)
            explain_assertion(error, verdicts.failed_claims(item))
        report = yield
        if report.failed or hasattr(report, "wasxfail"):
            verdicts.mark_failed(item, error, entry)
        if report.failed:
            summarise(report, error, verdicts.failed(item) if report.when == "call" else [])
        if report.when == "call" and report.failed and not self._session.is_mutated:
            report.sections += self._sections(item)
        if report.failed and report.when != "teardown" and uses_fixtures(item):
            self._note_error(
                item, str(report.longrepr) if error is None else str(error) or type(error).__name__
            )
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Name no class where a user's mistake keeps a module from being imported."""
        report = yield
        call: pytest.CallInfo[object] | None = getattr(report, "call", None)
        if report.failed and call is not None and call.excinfo is not None:
            summarise(report, call.excinfo.value, [])
        return report

    def _add_claims(self, item: pytest.Item) -> None:
        """Attach the verdicts of a test to its last report."""
        for reported in self._session.verdicts.reported(item):
            item.user_properties.append((reported.PROPERTY, reported.to_json()))

    def _sections(self, item: pytest.Item) -> Iterator[tuple[str, str]]:
        """Yield, for each claim of a test that did not hold, what else there is to see."""
        for claim in self._session.verdicts.failed_claims(item):
            from robustcheck.report.evidence import evidence

            failed = claim.failed
            nearest = max(failed, key=lambda noted: noted.verdict.margin)
            explained = [] if all(noted.is_explained for noted in failed) else explanation(claim)
            lines = [*explained, *evidence(nearest.claimed, nearest.robustness)]
            if (folder := self._session.settings.artifacts) is not None:
                command = reproduce(item.nodeid, self._session.settings, self._session.resources.replay)
                lines += (
                    _write_evidence(folder, noted, nodeid=item.nodeid, command=command) for noted in failed
                )
            if lines:
                yield "robustcheck", "\n".join(map(printable, lines))

    def _note_error(self, item: pytest.Item, text: str) -> None:
        """Add a test that failed without a claim that did not hold to the reports."""
        if not self._session.verdicts.failed(item):
            from robustcheck.report.run import TestError

            reported = TestError(item.nodeid, text)
            item.user_properties.append((TestError.PROPERTY, reported.to_json()))

    def _trim_traceback(self, info: pytest.ExceptionInfo[BaseException], item: pytest.Item) -> None:
        """Take our frames out of a traceback whose message is complete without them."""
        if not _is_complete(info.value, info.tb):
            return
        verdict = getattr(info.value, "verdict", None)
        for noted in self._session.verdicts.of(item):
            noted.is_explained |= noted.decided is verdict
        _make_causes_printable(info.value)
        entry: TracebackType | None = info.tb
        while entry is not None and entry.tb_next is not None:
            if _is_ours(entry.tb_next) and not _is_ours(entry):
                entry.tb_next = None
            entry = entry.tb_next


def _write_evidence(folder: Path, noted: NotedVerdict, *, nodeid: str, command: str) -> str:
    """Write the evidence of a claim that did not hold, and return a line that says where it is."""
    from robustcheck.report.artifacts import write_evidence

    try:
        return write_evidence(
            folder, noted.claimed, noted.verdict, noted.robustness, nodeid=nodeid, command=command
        )
    except OSError as error:
        return f"no evidence was written to {folder}: {error}"


def reproduce(nodeid: str, settings: Settings, replay: Sequence[str] = ()) -> str:
    """Return the command that runs one test again, with the options of this run that affect its results.

    `replay` are arguments that the command line of this run did not have.
    """
    suite = nodeid.startswith("robustcheck/")  # a suite that ships has no file to name
    chosen = ["-k", nodeid.rpartition("::")[2].partition("[")[0]] if suite else [nodeid]
    return shell_command(["pytest", *chosen, *settings.arguments(), *replay])


def _is_complete(error: BaseException, entry: TracebackType | None) -> bool:
    """Whether we raised the error ourselves, about a user's mistake."""
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    ours = entry is not None and _is_ours(entry)
    return isinstance(error, RobustcheckError | ClaimFailed) or (ours and isinstance(error, TypeError))


def _make_causes_printable(error: BaseException) -> None:
    """Make the messages printable of the errors that one of ours came from, which pytest shows, too."""
    cause = error.__cause__
    while cause is not None:
        cause.args = tuple(printable_lines(each) if isinstance(each, str) else each for each in cause.args)
        cause = cause.__cause__


def _is_ours(entry: TracebackType) -> bool:
    return is_ours(entry.tb_frame.f_code.co_filename)
