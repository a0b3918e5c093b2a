"""What a process that ran some of the tests sends to the one that reports the run: text, numbers and bytes.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.session.collection import uses_fixtures

if TYPE_CHECKING:
    from robustcheck.session.session import Session

_PROPERTY = "robustcheck_results"
"""An attribute of a test's last report."""


def to_plain(session: Session) -> dict[str, Any]:
    """Return the results of this process."""
    return {
        "studies": [study.to_plain() for study in session.studies()],
        "stored": {name: astuple(stored) for name, stored in session.stored_by_view().items()},
        "messages": [*session.resources.messages],
        "failures": [*session.resources.failures],
        "facts": dict(session.resources.facts),
    }


def add(session: Session, sent: Mapping[str, Any]) -> None:
    """Add the results of another process; one that evaluated nothing has no studies."""
    session.resources.failures.update(dict.fromkeys(sent["failures"]))
    if not sent["studies"]:
        session.add_results([], {}, sent["messages"], sent["facts"])
        return
    from robustcheck.report.study import Study
    from robustcheck.store.stats import CacheStats

    studies = [Study.from_plain(plain) for plain in sent["studies"]]
    stored = {name: CacheStats(*plain) for name, plain in sent["stored"].items()}
    session.add_results(studies, stored, sent["messages"], sent["facts"])


class ForkedTests:
    """A plugin of pytest, registered for each run: tests in processes of their own (pytest-forked) report what they did."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._process = os.getpid()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Let torch compute with one thread in a process of a test's own: its other threads did not survive the fork.

        libgomp, once used by the process that forked, would wait for them without end.
        """
        if os.getpid() != self._process and "torch" in sys.modules and uses_fixtures(item):
            sys.modules["torch"].set_num_threads(1)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self,
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send what was evaluated with the last report of a test that runs in a process of its own."""
        report = yield
        if report.when == "teardown" and os.getpid() != self._process:
            setattr(report, _PROPERTY, to_plain(self._session))
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what such a process sent."""
        if sent := getattr(report, _PROPERTY, None):
            delattr(report, _PROPERTY)
            add(self._session, sent)
