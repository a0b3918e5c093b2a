"""What reports are made from: plain values that also travel from a pytest-xdist worker."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import ClassVar

from robustcheck.baseline import Baseline
from robustcheck.claims import Verdict
from robustcheck.claims.wording import numbers
from robustcheck.record_files import dumps, loads
from robustcheck.records import Records


@dataclass(frozen=True)
class ReportedClaim:
    """A claim and what became of it."""

    PROPERTY: ClassVar = "robustcheck_claim"
    """The property of a test's report that holds one, as JSON."""

    state: str
    text: str
    numbers: str
    """The estimates, how many images they are from, and the error where not all were seen."""
    notes: tuple[str, ...] = ()
    model: str = ""
    """The classifier that it is about."""

    @classmethod
    def of(cls, verdict: Verdict, model: str) -> ReportedClaim:
        """Return a verdict about a classifier as reports show it."""
        alpha = "" if verdict.exact else f", alpha {verdict.alpha:g}"
        return cls(verdict.state, verdict.claim or "", numbers(verdict) + alpha, verdict.notes, model)

    def to_json(self) -> str:
        """Return the claim as a property's text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ReportedClaim:
        """Return the claim of a property's text."""
        plain = json.loads(text)
        return cls(**{**plain, "notes": tuple(plain["notes"])})


@dataclass(frozen=True)
class Finding:
    """A finding of arXiv 1608.00853, and whether it shows here."""

    PROPERTY: ClassVar = "robustcheck_finding"

    text: str
    holds: bool
    numbers: str

    def to_json(self) -> str:
        """Return the finding as a property's text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Finding:
        """Return the finding of a property's text."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Check:
    """A check of the evaluation itself, and what it found: whether the numbers can be trusted."""

    PROPERTY: ClassVar = "robustcheck_check"

    name: str
    state: str
    """passed, failed or skipped"""
    text: str
    """What was found, in a sentence; of a check that failed, what that means and what to look at."""

    def to_json(self) -> str:
        """Return the check as a property's text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Check:
        """Return the check of a property's text."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Study:
    """One classifier on one image set."""

    records: Records
    classes: int | None
    """How many classes the classifier knows; None where it was never asked."""

    def to_plain(self) -> tuple[str, int | None]:
        """Return strings and numbers alone, for `from_plain` in another process."""
        return dumps(self.records), self.classes

    @classmethod
    def from_plain(cls, plain: tuple[str, int | None]) -> Study:
        """Return the study that `to_plain` was asked of."""
        text, classes = plain
        return cls(loads(text)[0], classes)


@dataclass(frozen=True)
class FinishedRun:
    """All that a pytest run has to tell."""

    studies: tuple[Study, ...] = ()
    claims: tuple[ReportedClaim, ...] = ()
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    baseline: Baseline | None = None


def merge_studies(studies: Iterable[Study]) -> tuple[Study, ...]:
    """Return the studies, those of one subject in one: each worker of pytest-xdist ran some of the tests."""
    merged: list[Study] = []
    for study in studies:
        twin = next((at for at, other in enumerate(merged) if _same_subject(other, study)), None)
        if twin is None:
            merged.append(study)
        else:
            records = merged[twin].records.merge(study.records)
            merged[twin] = Study(records, merged[twin].classes or study.classes)
    return tuple(merged)


def _same_subject(one: Study, other: Study) -> bool:
    mine, theirs = one.records, other.records
    kept = mine.provenance.keys() - {
        "images"
    }  # whose fingerprint only a worker that saw all of them can tell
    return mine.names == theirs.names and all(
        mine.provenance[name] == theirs.provenance.get(name) for name in kept
    )
