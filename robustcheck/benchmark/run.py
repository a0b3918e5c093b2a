"""What one pytest run measures: hooks around pytest-benchmark, whose storage, options and table stay its own."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from robustcheck.benchmark.foreign_baselines import Refused
    from robustcheck.benchmark.table import Row

FIXTURE = "robustcheck_benchmark"
RUN = pytest.StashKey["BenchmarkRun"]()
SHORTEST_MEASUREMENT = 0.001
"""Seconds. What is shorter is called several times for one measurement."""
_UNTIMED = "robustcheck_untimed"


class BenchmarkRun:
    """The rows of the table, and what is to be said beside it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.rows: list[Row] = []
        self.untimed = 0
        """How many tests called what they measure once, without timing it."""
        self._refused: list[Refused] = []
        self._gate_is_lost = False

    @property
    def why_untimed(self) -> str:
        """Why pytest-benchmark measures nothing, where it does not."""
        config = self._config
        distributed = hasattr(config, "workerinput") or config.getoption("dist", "no") != "no"
        return "pytest-xdist is active" if distributed else "--benchmark-disable"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give tests that use our fixture a timer that waits for the device, unless they or the options name one.

        pytest-benchmark reads the closest marker alone, so what that says is said again.
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

        # A marker goes before the command line: so what is asked for there, is no default of ours.
        ours: dict[str, object] = {}
        if self._config.getoption("benchmark_timer", None) == "time.perf_counter":
            ours["timer"] = device_seconds
        if self._config.getoption("benchmark_min_time", None) == "0.000005":
            ours["min_time"] = SHORTEST_MEASUREMENT
        return ours

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Before pytest-benchmark compares, take out what is of another device; a worker sends its count."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_UNTIMED] = self.untimed
        # What it registers under this name is its session.
        theirs: Any = session.config.pluginmanager.get_plugin("pytest-benchmark")
        if theirs is not None and theirs.compared_mapping:
            from robustcheck.benchmark.foreign_baselines import refuse_others

            self._refused = refuse_others(theirs.benchmarks, theirs.compared_mapping)
            self._gate_is_lost = bool(self._refused and theirs.compare_fail)
        result = yield
        if self._gate_is_lost and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take in how many tests a worker of pytest-xdist ran without timing."""
        self.untimed += getattr(node, "workeroutput", {}).get(_UNTIMED, 0)

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, before pytest-benchmark's own, which may end in an error."""
        if not (self.rows or self.untimed):
            return
        from robustcheck.benchmark.foreign_baselines import told
        from robustcheck.benchmark.table import render

        terminalreporter.section("robustcheck benchmarks")
        for line in (*render(self.rows), *told(self._refused)):
            terminalreporter.line(line)
        if self.untimed:
            tests = "1 test ran" if self.untimed == 1 else f"{self.untimed} tests ran"
            terminalreporter.line(f"{tests} once, without timing: {self.why_untimed}")
        if self._gate_is_lost:
            terminalreporter.line(
                "ERROR: --benchmark-compare-fail can't hold against another device: save a baseline on this one, "
                "or assert on robustcheck_benchmark.ratio(ours, theirs), which needs none"
            )
