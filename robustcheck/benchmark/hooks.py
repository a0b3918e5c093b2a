"""Hooks around pytest-benchmark, whose storage, options and table stay its own.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from robustcheck.benchmark.foreign_baselines import ForeignBaseline
    from robustcheck.benchmark.table import Measurement

FIXTURE = "robustcheck_benchmark"
RUN = pytest.StashKey["BenchmarkRun"]()
SHORTEST_MEASUREMENT = 0.001
"""Seconds. A shorter call is repeated within a measurement."""
_UNTIMED = "robustcheck_untimed"


class BenchmarkRun:
    """A plugin of pytest, registered for each run: the measurements, and what is reported beside them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.rows: list[Measurement] = []
        self.untimed = 0
        """Number of tests that made their call once, without timing it."""
        self._dropped: list[ForeignBaseline] = []
        self._gate_is_lost = False

    @property
    def why_untimed(self) -> str:
        """The reason for which pytest-benchmark measures nothing, if it does not."""
        config = self._config
        distributed = hasattr(config, "workerinput") or config.getoption("dist", "no") != "no"
        return "pytest-xdist is active" if distributed else "--benchmark-disable"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give tests that use our fixture a timer that waits for the device, unless they or the options name one.

        pytest-benchmark reads the closest marker alone, so its arguments are repeated.
        """
        if not self._config.pluginmanager.has_plugin("pytest-benchmark"):
            return
        ours = self._defaults()
        for item in items:
            if FIXTURE in getattr(item, "fixturenames", ()):
                closest = item.get_closest_marker("benchmark")
                own = dict(closest.kwargs) if closest else {}
                item.add_marker(pytest.mark.benchmark(**{**ours, **own}), append=False)

    def _defaults(self) -> dict[str, object]:
        from robustcheck.benchmark.timer import device_seconds

        # A marker goes before the command line, so that what is set there must not be in it.
        ours: dict[str, object] = {}
        if self._config.getoption("benchmark_timer", None) == "time.perf_counter":
            ours["timer"] = device_seconds
        if self._config.getoption("benchmark_min_time", None) == "0.000005":
            ours["min_time"] = SHORTEST_MEASUREMENT
        return ours

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Drop baselines of other devices before pytest-benchmark compares; a worker sends its count."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_UNTIMED] = self.untimed
        # What it registers under this name is its session.
        theirs: Any = session.config.pluginmanager.get_plugin("pytest-benchmark")
        if theirs is not None and theirs.compared_mapping:
            from robustcheck.benchmark.foreign_baselines import drop_foreign_baselines

            self._dropped = drop_foreign_baselines(theirs.benchmarks, theirs.compared_mapping)
            self._gate_is_lost = bool(self._dropped and theirs.compare_fail)
        result = yield
        if self._gate_is_lost and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the number of tests that a worker of pytest-xdist ran without timing."""
        self.untimed += getattr(node, "workeroutput", {}).get(_UNTIMED, 0)

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, before pytest-benchmark's own, which may end in an error."""
        if not (self.rows or self.untimed):
            return
        from robustcheck.benchmark.foreign_baselines import messages
        from robustcheck.benchmark.table import render

        terminalreporter.section("robustcheck benchmarks")
        for line in (*render(self.rows), *messages(self._dropped)):
            terminalreporter.line(line)
        if self.untimed:
            tests = "1 test ran" if self.untimed == 1 else f"{self.untimed} tests ran"
            terminalreporter.line(f"{tests} once, without timing: {self.why_untimed}")
        if self._gate_is_lost:
            terminalreporter.line(
                "ERROR: --benchmark-compare-fail can't hold against another device: save a baseline on this one, "
                "or assert on robustcheck_benchmark.ratio(ours, theirs), which needs none"
            )
