"""Hooks around pytest-benchmark, whose storage, options and table stay its own.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.text import printable

if TYPE_CHECKING:
    from robustcheck.benchmark.baselines import NotCompared
    from robustcheck.benchmark.table import Measurement

FIXTURE = "robustcheck_benchmark"
RUN = pytest.StashKey["BenchmarkRun"]()
ARGUMENTS = pytest.StashKey[tuple[str, ...]]()
"""All arguments of the command line, those of `addopts` and PYTEST_ADDOPTS included."""
TIMED = pytest.StashKey[Any]()
"""pytest-benchmark's fixture of a test that uses ours."""
SHORTEST_MEASUREMENT = 0.001
"""Seconds. A shorter call is repeated within a measurement."""
_UNTIMED = "robustcheck_untimed"


class BenchmarkRun:
    """A plugin of pytest, registered for each run: the measurements, and what is reported beside them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.rows: list[Measurement] = []
        self.untimed: list[str] = []
        """Node ids of tests that made their call once, without timing it."""
        self.skipped: list[str] = []
        """Node ids of tests of a ratio that were skipped, since nothing is timed."""
        self._lost: list[NotCompared] = []

    @property
    def why_untimed(self) -> str:
        """The reason for which pytest-benchmark measures nothing, if it does not."""
        config = self._config
        distributed = hasattr(config, "workerinput") or config.getoption("dist", "no") != "no"
        return "pytest-xdist is active" if distributed else "--benchmark-disable"

    @property
    def _theirs(self) -> Any:
        """What pytest-benchmark registers as a plugin is its session."""
        return self._config.pluginmanager.get_plugin("pytest-benchmark")

    def label(self, name: str, fullname: str) -> str:
        """Return a test's name as `--benchmark-name` has it."""
        text = str(self._theirs.name_format({"name": name, "fullname": fullname, "source": None}))
        return name if text.startswith("?") else text

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give the tests whose fixtures include ours their timer."""
        if self._theirs is not None:
            for item in items:
                if FIXTURE in (getattr(item, "fixturenames", None) or ()):
                    self.give_timer(item)

    def give_timer(self, item: pytest.Item) -> None:
        """Give a test a timer that waits for the device, unless its own marker or the options name one.

        pytest-benchmark reads the closest marker alone, so its arguments are repeated.
        """
        closest = item.get_closest_marker("benchmark")
        own = dict(closest.kwargs) if closest else {}
        item.add_marker(pytest.mark.benchmark(**{**self._defaults(), **own}), append=False)

    def _defaults(self) -> dict[str, object]:
        from robustcheck.benchmark.timer import device_seconds

        # A marker goes before the command line, so that what is set there must not be in it.
        ours = {"timer": device_seconds, "min_time": SHORTEST_MEASUREMENT}
        return {
            name: value
            for name, value in ours.items()
            if not self._is_typed(f"--benchmark-{name.replace('_', '-')}")
        }

    def _is_typed(self, option: str) -> bool:
        arguments = self._config.stash.get(ARGUMENTS, ())
        return any(argument.partition("=")[0] == option for argument in arguments)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep pytest-benchmark from warning that a test that failed before it measured did not use its fixture."""
        report = yield
        timed = item.stash.get(TIMED, None)
        if timed is not None and not report.passed:
            timed.skipped = True
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Drop unlike baselines before pytest-benchmark compares; a worker sends which tests it did not time."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_UNTIMED] = self.untimed, self.skipped
        elif self._theirs is not None and (self._theirs.compared_mapping or self._theirs.compare_fail):
            self._lost = self._not_compared(self._theirs)
        result = yield
        if self._gate_is_lost and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        return result

    def _not_compared(self, theirs: Any) -> list[NotCompared]:
        from robustcheck.benchmark.baselines import drop_unlike, not_measured

        saved, timed = theirs.compared_mapping, [result.fullname for result in theirs.benchmarks]
        untimed = [*self.untimed, *self.skipped]
        found = [*not_measured(saved, timed, untimed, self.label, self.why_untimed)]
        return [*drop_unlike(theirs.benchmarks, saved, self.label), *found]

    @property
    def _gate_is_lost(self) -> bool:
        return any(each.gate for each in self._lost) and bool(self._theirs.compare_fail)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the tests that a worker of pytest-xdist ran without timing."""
        untimed, skipped = getattr(node, "workeroutput", {}).get(_UNTIMED, ((), ()))
        self.untimed += untimed
        self.skipped += skipped

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, before pytest-benchmark's own, which may end in an error."""
        if not (self.rows or self.untimed or self._lost):
            return
        lines = [*([] if self._theirs.quiet else self._report()), *self._errors()]
        if lines:
            terminalreporter.section("robustcheck benchmarks")
        for line in lines:
            terminalreporter.line(printable(line))

    def _report(self) -> Iterable[str]:
        from robustcheck.benchmark.baselines import messages
        from robustcheck.benchmark.table import render

        yield from render(self.rows)
        yield from messages(self._lost)
        if self.untimed:
            count = len(self.untimed)
            tests = "1 test ran" if count == 1 else f"{count} tests ran"
            yield f"{tests} once, without timing: {self.why_untimed}"

    def _errors(self) -> Iterable[str]:
        from robustcheck.benchmark.baselines import gate_errors

        if self._gate_is_lost:
            yield from gate_errors(self._lost)
