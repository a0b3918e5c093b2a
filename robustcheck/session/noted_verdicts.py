"""The verdicts of a run's tests: which of them are claims, and which of these made their test fail.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING

import pytest

from robustcheck.session.location import location_of
from robustcheck.session.statement import Requirement, comparison_at
from robustcheck.user_code import caller_of_ours, is_ours

if TYPE_CHECKING:
    from robustcheck.claims import Claim, Subject, Verdict
    from robustcheck.notation import View
    from robustcheck.report.run import ReportedClaim, SourceLocation
    from robustcheck.robustness import Robustness


@dataclass(eq=False)
class NotedVerdict:
    """A verdict, and what the test that asked for it requires of it."""

    robustness: Robustness
    subject: Subject
    decided: Verdict
    """As it was decided."""
    place: SourceLocation
    is_declared: bool
    """A claim that is text, in a file or in a call of `check`: always a claim."""
    requirement: Requirement | None = None
    """That of the assertion that it stands in."""
    can_be_asserted: bool = False
    """It is compared in one statement, and may be asserted by another."""
    failed: bool = False
    """It made its test fail."""
    is_explained: bool = False
    """The failure's own message explains it."""

    @property
    def is_claim(self) -> bool:
        """Whether the test requires it, or the contrary."""
        return self.is_declared or self.requirement is not None

    @property
    def is_negated(self) -> bool:
        """Whether the test requires the contrary."""
        return self.requirement is not None and not self.requirement.holds

    @cached_property
    def _contrary(self) -> Verdict:
        return self.decided.negated()

    @property
    def verdict(self) -> Verdict:
        """The verdict on what the test requires: of `assert not C` on `not C`."""
        return self._contrary if self.is_negated else self.decided

    @property
    def claimed(self) -> Subject:
        """What the test requires, as `subject`."""
        from robustcheck.notation import View

        return (
            self.subject.negated() if self.is_negated and not isinstance(self.subject, View) else self.subject
        )

    @property
    def is_alternative(self) -> bool:
        """Whether the test requires it or something else."""
        return self.requirement is not None and bool(self.requirement.whole)


@dataclass(eq=False)
class AssertedClaim:
    """What a test requires: a verdict, or alternatives of which one suffices, with the verdicts that were needed."""

    parts: list[NotedVerdict]
    text: str = ""
    """The source of the alternatives; "" of a single verdict."""
    at: object = None
    """The statement that they stand in."""
    frame: FrameType | None = None
    """The call that runs it: another one makes another claim."""
    seen: set[tuple[CodeType, int]] = field(default_factory=set)
    """The places of the parts: if one comes again, this is another claim."""

    def takes(self, requirement: Requirement, frame: FrameType, place: tuple[CodeType, int]) -> bool:
        """Whether a further verdict is a part of it."""
        same = self.at == (requirement.file, requirement.whole_at) and self.frame is _statement_frame(frame)
        return same and (requirement.repeats or place not in self.seen)


class NotedVerdicts:
    """By test, its verdicts in the order in which they were decided."""

    def __init__(self) -> None:
        self._noted: defaultdict[pytest.Item | None, list[NotedVerdict]] = defaultdict(list)
        self._claims: defaultdict[pytest.Item | None, list[AssertedClaim]] = defaultdict(list)

    def begin(self, item: pytest.Item) -> None:
        """Forget what an earlier attempt of a test noted."""
        self._noted.pop(item, None)
        self._claims.pop(item, None)

    def of(self, item: pytest.Item | None) -> list[NotedVerdict]:
        """Return the verdicts of a test."""
        return self._noted.get(item, [])

    def claims_of(self, item: pytest.Item | None) -> list[AssertedClaim]:
        """Return the claims of a test."""
        return self._claims.get(item, [])

    def latest(self, item: pytest.Item | None, claim: Claim) -> NotedVerdict | None:
        """Return the latest verdict of a test on a claim, or on its adaptive counterpart."""
        names = {str(claim), str(claim.adaptive_counterpart)}
        return next((noted for noted in reversed(self.of(item)) if noted.decided.claim in names), None)

    def failed(self, item: pytest.Item) -> list[NotedVerdict]:
        """Return the claims that made a test fail."""
        return [noted for noted in self.of(item) if noted.failed]

    def note(self, item: pytest.Item, robustness: Robustness, subject: Subject, verdict: Verdict) -> None:
        """Note a verdict of the test that is running, by the statement that asks for it."""
        from robustcheck.notation import View

        noted = NotedVerdict(
            robustness, subject, verdict, location_of(item), is_declared=verdict.on_truth is None
        )
        self._noted[item].append(noted)
        frame = caller_of_ours(sys._getframe())  # noqa: SLF001 - inspect.stack would read the source of every frame
        if noted.is_declared:
            self._claims[item].append(AssertedClaim([noted]))
        elif frame is not None:
            found = comparison_at(frame)
            if found.is_operator or isinstance(subject, View):
                noted.can_be_asserted = True
                self._require(item, noted, found.requirement, frame)

    def asked(self, item: pytest.Item | None, verdict: Verdict) -> None:
        """Note that a verdict was asked for its truth: by an assertion it may become a claim."""
        noted = next((each for each in reversed(self.of(item)) if each.decided is verdict), None)
        frame = caller_of_ours(sys._getframe())  # noqa: SLF001 - as above
        if item is not None and frame is not None and noted is not None and noted.can_be_asserted:
            self._require(item, noted, comparison_at(frame).requirement, frame)

    def mark_failed(
        self, item: pytest.Item, error: BaseException | None, entry: TracebackType | None
    ) -> None:
        """Mark the claims that made a test fail: those of the statement that raised, or without an error all."""
        for noted in self._raised(item, error, entry):
            whole = next(
                (claim for claim in self.claims_of(item) if claim.text and noted in claim.parts), None
            )
            for part in whole.parts if whole else [noted]:
                part.failed = bool(whole) or noted.verdict.state != "holds"

    def _raised(
        self, item: pytest.Item, error: BaseException | None, entry: TracebackType | None
    ) -> list[NotedVerdict]:
        claims = [noted for noted in self.of(item) if noted.is_claim]
        if error is None:
            return [noted for noted in claims if not (noted.requirement and noted.requirement.whole)]
        if (verdict := getattr(error, "verdict", None)) is not None:
            return [noted for noted in claims if noted.decided is verdict]
        if not isinstance(error, AssertionError):
            return []
        file, line = _raised_at(entry)
        asserted = ((noted, noted.requirement) for noted in claims if noted.requirement is not None)
        return [noted for noted, there in asserted if there.file == file and line in there.lines]

    def reported(self, item: pytest.Item) -> Iterator[ReportedClaim]:
        """Yield the claims of a test, numbered from 1, then what it only compared."""
        claims, test = self.claims_of(item), item.nodeid.partition("::")[2]
        for number, claim in enumerate(claims, 1):
            claim.frame = None  # it would keep what the test's variables hold
            first = claim.parts[0]
            is_only = first.is_declared and hasattr(item, "declared")
            place = replace(first.place, name=f"{test}#{number}" if len(claims) > 1 else test)
            place = place if is_only else _numbered(place, number)
            yield _reported_whole(claim, place) if claim.text else _reported(first, place)
        compared = (noted for noted in self.of(item) if not noted.is_claim)
        for number, noted in enumerate(compared, 1):
            place = _numbered(replace(noted.place, name=test), f"compared-{number}")
            yield replace(_reported(noted, place), role="compared")

    def _require(
        self, item: pytest.Item, noted: NotedVerdict, requirement: Requirement | None, frame: FrameType
    ) -> None:
        if requirement is None or noted.requirement is not None:
            return
        noted.requirement = requirement
        claims = self._claims[item]
        if not requirement.whole:
            claims.append(AssertedClaim([noted]))
            return
        place = frame.f_code, frame.f_lasti
        if not (claims and claims[-1].takes(requirement, frame, place)):
            at = requirement.file, requirement.whole_at
            claims.append(AssertedClaim([], requirement.whole, at, _statement_frame(frame)))
        claims[-1].parts.append(noted)
        claims[-1].seen.add(place)


def _numbered(place: SourceLocation, number: object) -> SourceLocation:
    return replace(place, id=f"{place.id}#{number}")


def _reported(noted: NotedVerdict, place: SourceLocation) -> ReportedClaim:
    from robustcheck.report.run import ReportedClaim

    model, views = noted.robustness.classifier.name, _views(noted)
    return replace(ReportedClaim.of(noted.verdict, model, views=views, place=place), failed=noted.failed)


def _reported_whole(claim: AssertedClaim, place: SourceLocation) -> ReportedClaim:
    from robustcheck.report.run import ReportedClaim

    model, views = (
        claim.parts[0].robustness.classifier.name,
        [view for part in claim.parts for view in _views(part)],
    )
    verdicts = [part.decided for part in claim.parts]
    failed = any(part.failed for part in claim.parts)
    return ReportedClaim.of_alternatives(claim.text, verdicts, model, views=views, place=place, failed=failed)


def _views(noted: NotedVerdict) -> tuple[View, ...]:
    from robustcheck.notation import View

    return (noted.subject,) if isinstance(noted.subject, View) else noted.subject.views


def _statement_frame(frame: FrameType) -> FrameType | None:
    """Return the frame of the statement that a comprehension stands in."""
    inside = frame.f_code.co_name in {"<genexpr>", "<listcomp>", "<setcomp>"}
    return frame.f_back if inside else frame


def _raised_at(entry: TracebackType | None) -> tuple[str, int]:
    """Return the file and line of the last frame of a traceback that is not ours."""
    entries = [each for each in _entries(entry) if not is_ours(each.tb_frame.f_code.co_filename)]
    return (entries[-1].tb_frame.f_code.co_filename, entries[-1].tb_lineno) if entries else ("", 0)


def _entries(entry: TracebackType | None) -> Iterator[TracebackType]:
    while entry is not None:
        yield entry
        entry = entry.tb_next
