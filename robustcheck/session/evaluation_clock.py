"""The time of evaluations: an entry of the report of their own, taken off the test that asked first.

All planned views are evaluated inside the first test that needs one. Its duration would blame it for the work of all,
and a limit per test (pytest-timeout) would end a sound gate. So the seconds are measured here, and pytest-timeout's
clock stands still meanwhile; `--robustcheck-timeout` bounds evaluations.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from robustcheck.errors import RobustcheckError

_PROPERTY = "robustcheck_seconds"
"""An attribute of a report: the seconds of the evaluations in its phase, by entry."""


_SHORTEST = 0.01
"""Seconds. A shorter alarm could go off before the block that it is to end has begun."""


class EvaluationClock:
    """A plugin of pytest, registered for each run."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._phase: Counter[str] = Counter()
        """Seconds in the phase of the test that is running, by evaluation."""
        self._spent: Counter[str] = Counter()
        """Seconds in this process."""
        self._total: Counter[str] = Counter()
        """Seconds in all processes that reported."""
        self._timer: tuple[pytest.Item, Any] | None = None
        """The item and the settings of pytest-timeout's clock, while it runs."""

    @property
    def seconds(self) -> float:
        """The seconds of all evaluations, in all processes that reported."""
        return sum(self._total.values())

    @contextmanager
    def during(self, name: str) -> Iterator[None]:
        """Measure and bound a run of an evaluation, with pytest-timeout's clock stopped."""
        timer, began = self._timer, time.perf_counter()
        if timer is not None:
            timer[0].ihook.pytest_timeout_cancel_timer(item=timer[0])
        try:
            with _time_limit(self._limit, self._spent[name], name):
                yield
        finally:
            seconds = time.perf_counter() - began
            self._phase[name] += seconds  # type: ignore[assignment] # a Counter of numbers
            self._spent[name] += seconds  # type: ignore[assignment]
            if timer is not None:
                timer[0].ihook.pytest_timeout_set_timer(item=timer[0], settings=timer[1])

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> Generator[None, object, object]:
        """Know how to start pytest-timeout's clock again."""
        self._timer = item, settings
        return (yield)

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_timeout_cancel_timer(self) -> Generator[None, object, object]:
        """Know that pytest-timeout's clock does not run."""
        self._timer = None
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Take the evaluations' seconds off the duration of the test that they ran in."""
        report = yield
        if self._phase:
            setattr(report, _PROPERTY, dict(self._phase))
            report.duration = max(0.0, report.duration - sum(self._phase.values()))
            self._phase.clear()
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the seconds of this process and of others."""
        self._total.update(getattr(report, _PROPERTY, {}))

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Count an evaluation neither as passed nor as failed: it is no test."""
        return ("", "", "") if getattr(report, "is_robustcheck_evaluation", False) else None

    def entries(self) -> Iterator[pytest.TestReport]:
        """Yield a report for each evaluation, with its seconds in all processes."""
        for name, seconds in self._total.items():
            yield pytest.TestReport(
                nodeid=f"robustcheck::{name}",
                location=("robustcheck", None, name),
                keywords={},
                outcome="passed",
                longrepr=None,
                when="call",
                duration=seconds,
                is_robustcheck_evaluation=True,
            )


class _TimeUp(KeyboardInterrupt):
    """Ends an evaluation as an interrupt does: what was computed is kept."""


@contextmanager
def _time_limit(limit: float | None, spent: float, name: str) -> Iterator[None]:
    """Raise `RobustcheckError` in the block once `limit` seconds are over, of which `spent` are."""
    if limit is None:
        yield
        return
    over = RobustcheckError(
        f"{name} took longer than --robustcheck-timeout={limit:g} seconds: allow more, evaluate fewer images "
        "(--robustcheck-limit=N), or draw only as many as it takes (--robustcheck-stop-early)"
    )
    if limit - spent < _SHORTEST:
        raise over
    before = signal.signal(signal.SIGALRM, _stop)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, limit - spent)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _TimeUp:
        raise over from None
    finally:
        signal.signal(signal.SIGALRM, before)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _TimeUp


def check_timeout(limit: float | None) -> None:
    """Raise `RobustcheckError` for a limit on a system that can't interrupt a computation."""
    if limit is not None and not hasattr(signal, "setitimer"):
        raise RobustcheckError(f"--robustcheck-timeout can't be had on {os.name}: it needs a POSIX system")
