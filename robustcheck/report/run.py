"""What the tests of a run reported, as plain values that travel as JSON in the properties of tests' reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from robustcheck.claims import Verdict
from robustcheck.claims.verdict import State, compared_in_whole
from robustcheck.notation import View
from robustcheck.records.baseline import Baseline
from robustcheck.report.forecast import RunForecast
from robustcheck.report.study import Study

if TYPE_CHECKING:
    from typing import Self

Outcome = Literal["holds", "refuted", "not shown", "expected to fail"]
MutantOutcome = Literal["caught", "survived", "not resolvable", "equivalent", "skipped", "not rerunnable"]
_LARGEST = 2**53
_MOST_PARTS = 4
"""Comparisons of one claim that are shown."""
_UNEVALUATED = "not evaluated: an earlier part of the assertion failed"


@dataclass(frozen=True)
class Reported:
    """A value that a property of a test's report holds as JSON."""

    PROPERTY: ClassVar[str]
    """The property's name."""

    def to_json(self) -> str:
        """Return the value as a property's text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the value of a property's text."""
        return cls.from_plain(json.loads(text))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return the value that JSON has as an object; raises TypeError for one of another kind.

        A file of records may be anyone's: each field is checked against its annotation.
        """
        kinds = get_type_hints(cls)
        values = {name: tuple(item) if isinstance(item, list) else item for name, item in plain.items()}
        for name, value in values.items():
            if name not in kinds or not _is_of(kinds[name], value):
                raise TypeError(f"{cls.__name__} has no {name} such as {str(value)[:60]!r}")
        return cls(**values)


def _is_of(kind: Any, value: object) -> bool:
    """Whether a value of JSON is of an annotated kind: a text, a number, a truth value, one of some words, a list of texts."""
    if get_origin(kind) in {Union, UnionType}:
        return any(_is_of(each, value) for each in get_args(kind))
    if get_origin(kind) is Literal:
        return value in get_args(kind) if isinstance(value, str) else False
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    if kind in (int, float):
        is_number = isinstance(value, int | kind) and not isinstance(value, bool)
        return is_number and not (isinstance(value, int) and abs(value) > _LARGEST)
    return isinstance(value, kind)


@dataclass(frozen=True)
class SourceLocation:
    """Where a claim stands: a test, and a line of a file below the rootdir."""

    id: str = ""
    """Stable from run to run: file::test#n for the n-th claim of a test, file::name for one of robustcheck.toml."""
    test: str = ""
    file: str = ""
    line: int = 0
    name: str = ""
    """What a person calls it: its name in robustcheck.toml, or its test, and where that has several claims its number."""


@dataclass(frozen=True)
class ReportedClaim(Reported):
    """A claim and what became of it."""

    PROPERTY: ClassVar[str] = "robustcheck_claim"

    state: State
    """The verdict."""
    text: str
    numbers: str
    """`comparison`, and `sample` behind a semicolon."""
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
    """It made its test fail."""
    id: str = ""
    """See `SourceLocation`."""
    name: str = ""
    """See `SourceLocation`."""
    role: Literal["claim", "compared"] = "claim"
    """By the syntax of the statement: "compared" where no assertion requires it."""
    expected_to_fail: bool = False
    """It made its test fail, as the test's mark `xfail` says it would."""
    against_baseline: bool = False
    """It compares with the baseline."""
    comparison: str = ""
    """What was measured, what the claim requires, and how far apart they are, in words."""
    sample: str = ""
    """How many images they are from, and the error where not all were seen, in words."""
    blind_notes: tuple[str, ...] = ()
    """Those of `notes` that say of a view that its attack is blind to the defence."""

    @classmethod
    def of(
        cls, verdict: Verdict, model: str, *, views: Sequence[View] = (), place: SourceLocation | None = None
    ) -> ReportedClaim:
        """Return a verdict about a classifier as reports show it."""
        copied = {
            each.name: getattr(verdict, each.name) for each in fields(cls) if hasattr(verdict, each.name)
        }
        sample = verdict.sample + ("" if verdict.exact else f", alpha {verdict.alpha:g}")
        return cls(
            **copied | {"sample": sample, "notes": (*_assisted(verdict), *verdict.notes)},
            against_baseline="baseline" in dict(verdict.parts),
            text=verdict.claim or "",
            numbers=f"{verdict.comparison}; {sample}",
            model=model,
            views=tuple(map(str, views)),
            attack=_awareness(views),
            **asdict(place or SourceLocation()),
        )

    @classmethod
    def of_whole(
        cls,
        text: str,
        parts: Sequence[Verdict],
        model: str,
        *,
        views: Sequence[View],
        place: SourceLocation,
        failed: bool,
    ) -> ReportedClaim:
        """Return a claim such as `A or B`: `parts` are the verdicts that it took, or of one that failed those to blame."""
        comparison = "; ".join(compared_in_whole(parts, _MOST_PARTS))
        open_ = any(part.state == "not shown" for part in parts)
        sample = parts[-1].sample
        return cls(
            state=("not shown" if open_ else "refuted") if failed else "holds",
            text=text,
            numbers=f"{comparison}; {sample}",
            notes=tuple(dict.fromkeys(note for part in parts for note in (*_assisted(part), *part.notes))),
            blind_notes=tuple(dict.fromkeys(note for part in parts for note in part.blind_notes)),
            model=model,
            seen=parts[-1].seen,
            population=parts[-1].population,
            exact=all(part.exact for part in parts),
            views=tuple(dict.fromkeys(map(str, views))),
            attack=_awareness(views),
            failed=failed,
            comparison=comparison,
            sample=sample,
            **asdict(place),
        )

    @classmethod
    def unevaluated(cls, text: str, model: str, *, place: SourceLocation) -> ReportedClaim:
        """Return a claim that was not evaluated, since an earlier part of its assertion failed."""
        return cls(
            state="not shown",
            text=text,
            numbers=_UNEVALUATED,
            comparison=_UNEVALUATED,
            model=model,
            **asdict(place),
        )

    @property
    def title(self) -> str:
        """The claim by its name, where it has one."""
        return f"{self.name}: {self.text}" if self.name else self.text

    @property
    def own_notes(self) -> tuple[str, ...]:
        """The notes that are about this claim alone, not about a view."""
        return tuple(note for note in self.notes if note not in self.blind_notes)

    @property
    def outcome(self) -> Outcome:
        """The state that a report for programs has: of a claim that failed as it was expected to, that."""
        expected = self.expected_to_fail and self.state != "holds"
        return "expected to fail" if expected else self.state


def required(claims: Iterable[ReportedClaim]) -> tuple[ReportedClaim, ...]:
    """Return what tests require, without what they only compared."""
    return tuple(claim for claim in claims if claim.role == "claim")


def _assisted(verdict: Verdict) -> tuple[str, ...]:
    return () if verdict.assistance is None else (str(verdict.assistance),)


def _awareness(views: Sequence[View]) -> Literal["", "blind", "adaptive"]:
    if any(view.blind_to for view in views):
        return "blind"
    through = any(step.through for view in views for step in view.walk())
    return "adaptive" if through else ""


@dataclass(frozen=True)
class Finding(Reported):
    """A finding of arXiv 1608.00853, and whether it shows here."""

    PROPERTY: ClassVar[str] = "robustcheck_finding"

    text: str
    holds: bool
    numbers: str


@dataclass(frozen=True)
class Check(Reported):
    """A check of the evaluation itself, and what it found: whether the numbers can be trusted."""

    PROPERTY: ClassVar[str] = "robustcheck_check"

    name: str
    state: Literal["passed", "warned", "failed", "skipped"]
    text: str
    """What was found, in a sentence; of a check that failed or warned, what that means and what to look at."""


@dataclass(frozen=True)
class MutantResult(Reported):
    """A fault that was put into the run's own set-up, and what became of the run's claims."""

    PROPERTY: ClassVar[str] = "robustcheck_mutant"

    name: str
    outcome: MutantOutcome
    what: str
    """What is broken, in a sentence."""
    advice: str
    """What a gate that notices it has."""
    claims: tuple[str, ...] = ()
    """Those that turned red, of a mutant that was caught; that hold under it, of one that survived; that could not be
    decided, of one that is not resolvable."""
    reason: str = ""
    images: int = 0
    """How many images the claims were decided on."""


@dataclass(frozen=True)
class TestError(Reported):
    """A test of robustness that failed before, or without, a claim that did: nothing was decided by it."""

    PROPERTY: ClassVar[str] = "robustcheck_error"
    __test__ = False  # pytest is not to collect it

    test: str
    text: str


@dataclass(frozen=True)
class FinishedRun:
    """All that a pytest run has to report."""

    studies: tuple[Study, ...] = ()
    claims: tuple[ReportedClaim, ...] = ()
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    mutants: tuple[MutantResult, ...] = ()
    mutation_score: float | None = None
    """The score that is required of them; None where none is."""
    baseline: Baseline | None = None
    troubles: tuple[TestError, ...] = ()
    session: Mapping[str, str] = field(default_factory=dict)
    """The command line and when it ran, in words."""
    failed_integrity: tuple[str, ...] = ()
    """The integrity tests that failed: a baseline of such a run is refused."""
    forecast: RunForecast | None = None
    """What a run that was asked for a forecast found; it judged nothing."""
