"""What tests reported, here or in workers of pytest-xdist, in the order of the tests.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from robustcheck.report.run import Check, Finding, ReportedClaim, TestError

Reported = TypeVar("Reported")
INTEGRITY = "test_trust_"
"""Prefix of a suite's integrity tests: if one fails, the numbers can't be trusted."""


class ResultLog:
    """Claims, findings, checks and troubles, as the properties of tests' reports bring them; a plugin of pytest.

    With `feeds_junit` these properties are then replaced by ones that people read in a JUnit file.
    """

    def __init__(self, *, feeds_junit: bool) -> None:
        self.claims: list[ReportedClaim] = []
        self.findings: list[Finding] = []
        self.checks: list[Check] = []
        self.troubles: list[TestError] = []
        self.failed_integrity: list[str] = []
        self.position: dict[str, int] = {}
        """The place of each test among those collected: workers of pytest-xdist report in any order."""
        self._positions: dict[int, int] = {}
        self._failed: set[str] = set()
        self._expected: set[str] = set()
        """The tests that failed as their mark says they would."""
        self._feeds_junit = feeds_junit

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the results that a test reported, in this process or in a worker."""
        if report.failed:
            self._failed.add(report.nodeid)
            if f"::{INTEGRITY}" in report.nodeid:
                self.failed_integrity.append(report.nodeid.partition(f"::{INTEGRITY}")[2])
        if report.skipped and hasattr(report, "wasxfail"):
            self._expected.add(report.nodeid)
        if report.when != "teardown":
            return
        own = [(name, str(text)) for name, text in report.user_properties if name.startswith("robustcheck_")]
        for name, text in own:
            self._note(name, text, report.nodeid)
        if own and self._feeds_junit:
            from robustcheck.report.formats.junit import readable

            report.user_properties[:] = readable(report.user_properties)

    def _note(self, name: str, text: str, test: str) -> None:
        """Note the result that a test's property holds, in the order of the tests."""
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
