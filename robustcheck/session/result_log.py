"""What tests reported, here or in workers of pytest-xdist, in the order of the tests."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from robustcheck.report.run import Check, Finding, ReportedClaim, TestError

Reported = TypeVar("Reported")
INTEGRITY = "test_trust_"
"""How the names of a suite's integrity tests begin: where one fails, the numbers can't be trusted."""


class Log:
    """Claims, findings, checks and troubles, as the properties of tests' reports bring them."""

    def __init__(self) -> None:
        self.claims: list[ReportedClaim] = []
        self.findings: list[Finding] = []
        self.checks: list[Check] = []
        self.troubles: list[TestError] = []
        self.failed_integrity: list[str] = []
        self.on_properties: Callable[[pytest.TestReport], None] = lambda _report: None
        """What else is to become of the properties of a test that has ended."""
        self.position: dict[str, int] = {}
        """Where a test stands among those collected: from workers of pytest-xdist they come in any order."""
        self._positions: dict[int, int] = {}
        self._failed: set[str] = set()
        self._expected: set[str] = set()
        """The tests that failed as their mark says they would."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the claims and findings that a test reported, in this process or in a worker."""
        if report.failed:
            self._failed.add(report.nodeid)
            if f"::{INTEGRITY}" in report.nodeid:
                self.failed_integrity.append(report.nodeid.partition(f"::{INTEGRITY}")[2])
        if report.skipped and hasattr(report, "wasxfail"):
            self._expected.add(report.nodeid)
        if report.when != "teardown":
            return
        for name, text in report.user_properties:
            if name.startswith("robustcheck_"):
                self._take_in(name, str(text), report.nodeid)
        self.on_properties(report)

    def _take_in(self, name: str, text: str, test: str) -> None:
        """Note what a test's property reports, in the order of the tests."""
        from robustcheck.report.run import Check, Finding, ReportedClaim, TestError

        if name == ReportedClaim.PROPERTY:
            claim = ReportedClaim.from_json(text)
            failed = test in self._failed and claim.state != "holds"
            expected = test in self._expected and claim.state != "holds"
            self._add(self.claims, replace(claim, failed=failed, expected_to_fail=expected), test)
        elif name == Finding.PROPERTY:
            self._add(self.findings, Finding.from_json(text), test)
        elif name == Check.PROPERTY:
            self._add(self.checks, Check.from_json(text), test)
        elif name == TestError.PROPERTY:
            self._add(self.troubles, TestError.from_json(text), test)

    def _add(self, others: list[Reported], reported: Reported, test: str) -> None:
        self._positions[id(reported)] = self.position.get(test, 0)
        insort(others, reported, key=lambda each: self._positions[id(each)])
