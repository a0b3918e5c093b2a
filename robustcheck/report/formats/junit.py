"""What JUnit files hold of a run: properties of each claim, and facts of the session on the suite.

A claim's properties are its test case's in files of the family xunit1. The schema of xunit2, pytest's default, allows
none there: they are the suite's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from robustcheck.report.run import Check, Finding, MutantResult, ReportedClaim, TestError
from robustcheck.report.summary import Summary
from robustcheck.text import printable

Property = tuple[str, object]
PREFIX = "robustcheck"


def readable(properties: Iterable[Property]) -> list[Property]:
    """Return a test's properties with a property for each number of a claim, in place of one that holds them all.

    The claims of a test are numbered from 1: `robustcheck.1.verdict`.
    """
    result: list[Property] = []
    claims = 0
    for name, text in properties:
        if name == ReportedClaim.PROPERTY:
            claim = ReportedClaim.from_json(str(text))
            if claim.role != "claim":
                continue
            claims += 1
            result += [(f"{PREFIX}.{claims}.{key}", value) for key, value in _claim(claim)]
        elif name == Finding.PROPERTY:
            finding = Finding.from_json(str(text))
            result += [
                (f"{PREFIX}.finding", printable(finding.text)),
                (f"{PREFIX}.finding.holds", finding.holds),
            ]
        elif name == Check.PROPERTY:
            check = Check.from_json(str(text))
            result += [(f"{PREFIX}.check", check.name), (f"{PREFIX}.check.state", check.state)]
        elif name == MutantResult.PROPERTY:
            mutant = MutantResult.from_json(str(text))
            result += [(f"{PREFIX}.mutation", mutant.name), (f"{PREFIX}.mutation.outcome", mutant.outcome)]
        elif name != TestError.PROPERTY:  # the failure itself says as much
            result.append((name, text))
    return result


def of_claims(claims: Iterable[ReportedClaim]) -> Iterator[Property]:
    """Yield the properties of claims by their ids, as a suite has them: `robustcheck[test_a.py::test_b#1].verdict`."""
    for claim in claims:
        for key, value in _claim(claim):
            yield f"{PREFIX}[{claim.id}].{key}", value


def _claim(claim: ReportedClaim) -> Iterator[tuple[str, str]]:
    yield "claim", printable(claim.text)
    if claim.name:
        yield "name", printable(claim.name)
    yield "verdict", claim.outcome
    for name in ("estimate", "low", "high", "threshold"):
        value = getattr(claim, name)
        if value is not None:
            yield name, f"{value:.9g}"
    yield "exact", str(claim.exact).lower()
    yield "n", str(claim.seen)
    if claim.population is not None:
        yield "N", str(claim.population)
    if claim.alpha is not None:
        yield "alpha", f"{claim.alpha:g}"
    yield "views", "; ".join(claim.views)
    if claim.attack:
        yield "attack", claim.attack
    yield "model", printable(claim.model)


def of_suite(summary: Summary) -> Iterator[tuple[str, str]]:
    """Yield the facts of a session: its counts, and what its numbers depend on."""
    for state in ("holds", "refuted", "not shown", "expected to fail"):
        yield f"{PREFIX}.claims.{state.replace(' ', '-')}", str(summary.count(state))
    if summary.mutation is not None:
        yield f"{PREFIX}.mutation.applied", str(summary.mutation.applied)
        yield f"{PREFIX}.mutation.caught", str(summary.mutation.caught)
    for at, study in enumerate(summary.studies, 1):
        prefix = PREFIX if len(summary.studies) == 1 else f"{PREFIX}.{at}"
        for name, text in study.provenance.items():
            yield f"{prefix}.{name}", printable(text)
    for name, text in summary.session.items():
        yield f"{PREFIX}.{name.replace(' ', '-')}", printable(text)
