"""What tests reported, here or in other processes, in the order of the tests.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard

import pytest

if TYPE_CHECKING:
    from robustcheck.report.run import Check, Finding, MutantResult, Reported, ReportedClaim, TestError

INTEGRITY = "test_trust_"
"""Prefix of a suite's integrity tests: if one fails, the numbers can't be trusted."""


@dataclass
class TestResults:
    """What the last attempt of one test reported: a plugin may run a test several times."""

    __test__ = False  # pytest is not to collect it

    failed: bool = False
    expected: bool = False
    """It failed as its mark says it would."""
    reported: list[Reported] = field(default_factory=list)


class ResultLog:
    """Claims, findings, checks and errors, as the properties of tests' reports bring them; a plugin of pytest.

    If a JUnit file is written, these properties are then replaced by ones that people read, or removed where its
    family, xunit2, allows none.
    """

    def __init__(self, *, junit_family: str | None = None) -> None:
        self.position: dict[str, int] = {}
        """The place of each test among those collected: workers of pytest-xdist report in any order."""
        self._tests: defaultdict[tuple[str, str], TestResults] = defaultdict(TestResults)
        """By test and worker: with `--dist=each` every worker runs every test."""
        self.junit_family = junit_family
        """That of the JUnit file that is written; None where none is."""

    @property
    def claims(self) -> list[ReportedClaim]:
        """The claims of all tests, and what became of them."""
        return self._all("ReportedClaim")

    @property
    def findings(self) -> list[Finding]:
        """The findings of all tests."""
        return self._all("Finding")

    @property
    def checks(self) -> list[Check]:
        """The checks of all tests."""
        return self._all("Check")

    @property
    def mutants(self) -> list[MutantResult]:
        """The mutations of the suite, and what became of the claims under each."""
        return self._all("MutantResult")

    @property
    def troubles(self) -> list[TestError]:
        """The tests that failed without a claim that did not hold."""
        return self._all("TestError")

    @property
    def failed_integrity(self) -> list[str]:
        """The names of the integrity tests that failed."""
        failed = (test for test, results in self._in_order() if results.failed)
        return list(
            dict.fromkeys(test.partition(f"::{INTEGRITY}")[2] for test in failed if f"::{INTEGRITY}" in test)
        )

    @property
    def is_empty(self) -> bool:
        """Whether no test reported a claim, a finding, a check or a mutation."""
        return not (self.claims or self.findings or self.checks or self.mutants)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the results that a test reported, in this process or in another."""
        key = report.nodeid, getattr(report, "worker_id", "")
        if report.when == "setup":
            self._tests.pop(key, None)
        if report.failed:
            self._tests[key].failed = True
        if report.skipped and hasattr(report, "wasxfail"):
            self._tests[key].expected = True
        if report.when == "teardown" and (reported := [*reported_in(report.user_properties)]):
            self._tests[key].reported = reported
            if self.junit_family == "xunit2":
                report.user_properties = [entry for entry in report.user_properties if not is_ours(entry)]
            elif self.junit_family is not None:
                from robustcheck.report.formats.junit import readable

                report.user_properties = readable(self._ended_properties(report.user_properties, key))

    def _ended_properties(self, properties: list[Any], key: tuple[str, str]) -> list[Any]:
        """Return a test's properties, those that are ours with what became of the test."""
        ended = [
            (each.PROPERTY, _as_it_ended(each, self._tests[key]).to_json())
            for each in reported_in(properties)
        ]
        return [*ended, *(entry for entry in properties if not is_ours(entry))]

    def _in_order(self) -> Iterator[tuple[str, TestResults]]:
        """Yield the tests in the order in which they were collected."""
        tests = sorted(self._tests, key=lambda key: self.position.get(key[0], 0))
        return ((key[0], self._tests[key]) for key in tests)

    def _all(self, kind: str) -> list[Any]:
        """Return all values of a kind, in the order of the tests; what two workers agree on once."""
        found: dict[Reported, None] = {}
        for _, results in self._in_order():
            own = (each for each in results.reported if type(each).__name__ == kind)  # imports nothing
            found.update(dict.fromkeys(_as_it_ended(each, results) for each in own))
        return list(found)


def is_ours(entry: object) -> TypeGuard[tuple[str, str]]:
    """Return whether an entry of a test's properties is a value of ours; others may be of any kind."""
    return isinstance(entry, tuple | list) and len(entry) == 2 and str(entry[0]).startswith("robustcheck_")


def reported_in(properties: Iterable[object]) -> Iterator[Reported]:
    """Yield the values that a test's properties hold."""
    for name, text in filter(is_ours, properties):
        from robustcheck.report.run import Check, Finding, MutantResult, ReportedClaim, TestError

        for kind in (ReportedClaim, Finding, Check, MutantResult, TestError):
            if name == kind.PROPERTY:
                yield kind.from_json(text)


def _as_it_ended(reported: Reported, results: TestResults) -> Reported:
    """Return a claim with what became of its test, and anything else as it is.

    A refuted one whose failure the test took for granted, in a function that it called, was only compared.
    """
    from robustcheck.report.run import ReportedClaim

    if not isinstance(reported, ReportedClaim) or reported.state == "holds":
        return reported
    failed = reported.failed and results.failed
    expected = (
        reported.failed or not reported.seen
    ) and results.expected  # those not evaluated failed with it
    role = reported.role if failed or expected or reported.state == "not shown" else "compared"
    return replace(reported, failed=failed, expected_to_fail=expected, role=role)
