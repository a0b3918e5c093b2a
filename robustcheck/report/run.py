"""What reports are made from: plain values that also travel from a pytest-xdist worker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from robustcheck.claims import Verdict
from robustcheck.notation import View, parse
from robustcheck.records import Records
from robustcheck.records.baseline import Baseline
from robustcheck.records.provenance import Images, Provenance
from robustcheck.records.table import from_bytes, to_bytes
from robustcheck.report.panel import Panel


@dataclass(frozen=True)
class Place:
    """Where a claim stands: a test, and a line of a file below the rootdir."""

    test: str = ""
    file: str = ""
    line: int = 0


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
    estimate: float | None = None
    """With `low`, `high` and `threshold` of one quantity: what stands left of the relation, less what is measured
    right of it."""
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    relation: str = ""
    margin: float | None = None
    """By how much the estimate is on the claim's side of the threshold."""
    percent: bool = False
    seen: int = 0
    population: int | None = None
    alpha: float | None = None
    exact: bool = False
    """Every image was seen, and nothing is left to chance: the bounds equal the estimate."""
    about: str = "testset"
    tolerance: float = 0.0
    views: tuple[str, ...] = ()
    attack: Literal["", "blind", "adaptive"] = ""
    """Whether the attack knew of the defence that it is measured under; "" where there is no such pair."""
    test: str = ""
    file: str = ""
    line: int = 0
    failed: bool = False
    """The test that made it failed."""

    @classmethod
    def of(
        cls, verdict: Verdict, model: str, *, views: Sequence[View] = (), place: Place | None = None
    ) -> ReportedClaim:
        """Return a verdict about a classifier as reports show it."""
        alpha = "" if verdict.exact else f", alpha {verdict.alpha:g}"
        return cls(
            verdict.state,
            verdict.claim or "",
            verdict.numbers + alpha,
            verdict.notes,
            model,
            estimate=verdict.estimate,
            low=verdict.low,
            high=verdict.high,
            threshold=verdict.threshold,
            relation=verdict.relation,
            margin=verdict.margin,
            percent=verdict.percent,
            seen=verdict.seen,
            population=verdict.population,
            alpha=verdict.alpha,
            exact=verdict.exact,
            about=verdict.about,
            tolerance=verdict.tolerance,
            views=tuple(map(str, views)),
            attack=_awareness(views),
            **asdict(place or Place()),
        )

    def to_json(self) -> str:
        """Return the claim as a property's text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ReportedClaim:
        """Return the claim of a property's text."""
        plain = json.loads(text)
        return cls(**{**plain, "notes": tuple(plain["notes"]), "views": tuple(plain["views"])})


def _awareness(views: Sequence[View]) -> Literal["", "blind", "adaptive"]:
    if any(view.blind_to for view in views):
        return "blind"
    through = any(step.through for view in views for step in view.walk())
    return "adaptive" if through else ""


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
class Trouble:
    """A test of robustness that failed before, or without, a claim that did: nothing was decided by it."""

    PROPERTY: ClassVar = "robustcheck_trouble"

    test: str
    text: str

    def to_json(self) -> str:
        """Return it as a property's text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Trouble:
        """Return that of a property's text."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Study:
    """One classifier on one image set."""

    records: Records
    classes: int | None
    """How many classes the classifier knows; None where it was never asked."""
    panels: tuple[Panel, ...] = ()
    """Pictures of some of its images, where a report that shows them was asked for."""

    def to_plain(self) -> dict[str, Any]:
        """Return text, numbers and bytes alone, exact to the bit, for `from_plain` in another process."""
        records = self.records
        header = {
            "ids": records.ids,
            "names": records.names,
            "provenance": records.provenance.header(),
            "labels": records.labels.tolist(),
        }
        return {
            "header": json.dumps(header),  # in ASCII, whatever a file's name is made of
            "rows": to_bytes({str(view): rows for view, rows in records.columns.items()}),
            "classes": self.classes,
            "panels": [panel.to_plain() for panel in self.panels],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Study:
        """Return the study that `to_plain` was asked of."""
        header = json.loads(plain["header"])
        columns = {parse(view): rows for view, rows in from_bytes(plain["rows"]).items()}
        labels = np.array(header["labels"], dtype=np.int64)
        provenance = Provenance.from_header(header["provenance"])
        records = Records(tuple(header["ids"]), tuple(header["names"]), labels, columns, provenance)
        return cls(records, plain["classes"], tuple(map(Panel.from_plain, plain["panels"])))


@dataclass(frozen=True)
class FinishedRun:
    """All that a pytest run has to tell."""

    studies: tuple[Study, ...] = ()
    claims: tuple[ReportedClaim, ...] = ()
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    baseline: Baseline | None = None
    troubles: tuple[Trouble, ...] = ()
    session: Mapping[str, str] = field(default_factory=dict)
    """The command line and when it ran, in words."""
    failed_integrity: tuple[str, ...] = ()
    """The integrity tests that failed: a baseline of such a run is refused."""


def merge_studies(studies: Iterable[Study]) -> tuple[Study, ...]:
    """Return the studies, those of one subject in one: each worker of pytest-xdist ran some of the tests."""
    merged: list[Study] = []
    for study in studies:
        twin = next((at for at, other in enumerate(merged) if _same_subject(other, study)), None)
        if twin is None:
            merged.append(study)
        else:
            merged[twin] = _merged(merged[twin], study)
    return tuple(merged)


def _merged(one: Study, other: Study) -> Study:
    """Return both in one; of their pictures those of the one that has more."""
    records = one.records.merge(other.records)
    mine, theirs = one.records.provenance, other.records.provenance
    provenance = replace(
        mine,
        libraries=tuple(sorted({*mine.libraries, *theirs.libraries})),
        devices=tuple(sorted({*mine.devices, *theirs.devices})),
    )
    return replace(
        one,
        records=replace(records, provenance=provenance),
        classes=one.classes or other.classes,
        panels=max(one.panels, other.panels, key=len),
    )


def _same_subject(one: Study, other: Study) -> bool:
    return one.records.names == other.records.names and _subject(one) == _subject(other)


def _subject(study: Study) -> tuple[Provenance, set[str]]:
    """Return what all processes that evaluate one subject agree on: of their devices, the kinds.

    The fingerprint of the images is known to those alone that saw all of them, and each names the libraries it used.
    """
    provenance = study.records.provenance
    kinds = {re.sub(r"^cuda:\d+ ", "cuda ", device) for device in provenance.devices}
    return replace(provenance, images=Images(), libraries=(), devices=()), kinds
