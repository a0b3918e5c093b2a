"""What a failing test says: the claim, its numbers and the images that count against it, and none of our frames.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

from robustcheck.errors import ClaimFailed, RobustcheckError
from robustcheck.session.collection import uses_fixtures
from robustcheck.session.session import Session
from robustcheck.text import printable, printable_lines, shell_command

if TYPE_CHECKING:
    from robustcheck.claims import Subject, Verdict
    from robustcheck.options.table import Settings
    from robustcheck.robustness import Robustness

_PACKAGE = Path(__file__).parents[1]
_SUITES = _PACKAGE / "suites"


class FailureReports:
    """A plugin of pytest, registered for each run, that explains failures."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._explained: list[object] = []
        """Verdicts that a failure's own message explains."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Know which test a claim belongs to, and forget what an earlier attempt of it reported."""
        self._session.begin(item)

    def pytest_assertrepr_compare(self, left: object, right: object) -> list[str] | None:
        """Explain a claim that did not hold."""
        if "robustcheck.claims" not in sys.modules:
            return None
        from robustcheck.claims import Estimate, Ratio

        entries = self._session.verdicts[self._session.current_test]
        if not entries or not isinstance(left, Estimate | Ratio) | isinstance(right, Estimate | Ratio):
            return None
        *_, verdict = entries[-1]
        self._explained.append(verdict)
        return [*map(printable, verdict.explain())]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Leave our own frames out of a user's mistake, and add to a failed claim the images that count against it."""
        if call.excinfo is not None:
            self._trim_traceback(call.excinfo)
        report = yield
        error = None if call.excinfo is None else call.excinfo.value
        if report.when == "call" and report.failed:
            report.sections += self._sections(item)
        if report.failed and report.when != "teardown" and uses_fixtures(item):
            self._note_error(item, error)
        return report

    def _sections(self, item: pytest.Item) -> Iterator[tuple[str, str]]:
        """Yield, for each claim of a test that did not hold, what else there is to see."""
        for robustness, subject, verdict in self._session.verdicts.get(item, ()):
            if verdict.state != "holds":
                from robustcheck.report.evidence import evidence

                is_explained = any(verdict is other for other in self._explained)
                lines = [*([] if is_explained else verdict.explain()), *evidence(subject, robustness)]
                if (folder := self._session.settings.artifacts) is not None:
                    command = reproduce(item.nodeid, self._session.settings)
                    lines.append(
                        _write_evidence(
                            folder, robustness, subject, verdict, nodeid=item.nodeid, command=command
                        )
                    )
                if lines:
                    yield "robustcheck", "\n".join(map(printable, lines))

    def _note_error(self, item: pytest.Item, error: BaseException | None) -> None:
        """Add a test that failed without a claim that did not hold to the reports."""
        if all(verdict.state == "holds" for *_, verdict in self._session.verdicts.get(item, ())):
            from robustcheck.report.run import TestError

            reported = TestError(item.nodeid, str(error) or type(error).__name__)
            item.user_properties.append((TestError.PROPERTY, reported.to_json()))

    def _trim_traceback(self, info: pytest.ExceptionInfo[BaseException]) -> None:
        """Take our frames out of a traceback whose message is complete without them."""
        if not _is_complete(info.value, info.tb):
            return
        self._explained.append(getattr(info.value, "verdict", None))
        _make_causes_printable(info.value)
        entry: TracebackType | None = info.tb
        while entry is not None and entry.tb_next is not None:
            if _is_ours(entry.tb_next) and not _is_ours(entry):
                entry.tb_next = None
            entry = entry.tb_next


def _write_evidence(
    folder: Path, robustness: Robustness, subject: Subject, verdict: Verdict, *, nodeid: str, command: str
) -> str:
    """Write the evidence of a claim that did not hold, and return a line that says where it is."""
    from robustcheck.report.artifacts import write_evidence

    try:
        return write_evidence(folder, subject, verdict, robustness, nodeid=nodeid, command=command)
    except OSError as error:
        return f"no evidence was written to {folder}: {error}"


def reproduce(nodeid: str, settings: Settings) -> str:
    """Return the command that runs one test again, with the options of this run that affect its results."""
    suite = nodeid.startswith("robustcheck/")  # a suite that ships has no file to name
    chosen = ["-k", nodeid.rpartition("::")[2].partition("[")[0]] if suite else [nodeid]
    return shell_command(["pytest", *chosen, *settings.arguments()])


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
    path = Path(entry.tb_frame.f_code.co_filename)
    return path.is_relative_to(_PACKAGE) and not path.is_relative_to(_SUITES)
