"""How long the mutations of a run will take, told once, before the first of them is reported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.session.evaluations import MUTATION
from robustcheck.session.result_log import reported_in

if TYPE_CHECKING:
    from robustcheck.session.session import Session

PREFIX = f"robustcheck/{MUTATION}::"
"""Of the tests that report a mutation each."""
_MINUTES_FROM = 120


def tell(
    config: pytest.Config, count: int, seconds: float, *, workers: int = 1, is_stored: bool = False
) -> None:
    """Write how long `count` mutations will take, where the claims took `seconds`; nothing where there is no terminal."""
    reporter: Any = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None:
        return
    total = max(1, round(count * seconds / workers))
    shown = f"{total} s" if total < _MINUTES_FROM else f"{total / 60:.0f} min"
    among = f" on {workers} workers" if workers > 1 else ""
    stored = "; more if records came from the store" if is_stored else ""
    reporter.ensure_newline()
    if workers > 1:  # where pytest does not know that it is in the middle of a line
        reporter.write_line("")
    reporter.write_line(
        f"robustcheck: {count} mutations, up to {seconds:.1f} s each, about {shown}{among}{stored}"
    )


class WorkersForecast:
    """A plugin of pytest, registered for each run: tells it in the process that starts the workers of pytest-xdist."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._config: pytest.Config | None = None
        """That of the run, as long as there is something to tell."""
        self._workers = 0
        self._mutations, self._waiting = 0, set[str]()
        self._durations: defaultdict[str, float] = defaultdict(float)
        self._seconds = 0.0
        """What the tests that made claims took."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Note which tests there are."""
        if self._session.settings.suite == MUTATION:
            self._config, self._workers = node.config, self._workers + 1
            self._waiting = {test for test in ids if not test.startswith(PREFIX)}
            self._mutations = len(ids) - len(self._waiting)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell it once all tests without a mutation have run, or with the first mutation that is reported before."""
        if self._config is None:
            return
        self._durations[report.nodeid] += report.duration
        if report.when == "teardown":
            self._waiting.discard(report.nodeid)
            if any(reported_in(report.user_properties)) and not report.nodeid.startswith(PREFIX):
                self._seconds += self._durations[report.nodeid]
        is_known = self._seconds and self._mutations
        if is_known and (not self._waiting or report.nodeid.startswith(PREFIX)):
            tell(self._config, self._mutations, self._seconds, workers=self._workers)
            self._config = None
