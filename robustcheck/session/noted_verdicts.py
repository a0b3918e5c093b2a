"""The verdicts of a run's tests: which of them are claims, and which of these made their test fail.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

import pytest

from robustcheck.session.asserted_claim import AssertedClaim, NotedVerdict
from robustcheck.session.assertion_tail import Unevaluated, parts_behind
from robustcheck.session.location import location_of
from robustcheck.session.statement import Requirement, comparison_at
from robustcheck.user_code import caller_of_ours, is_ours

if TYPE_CHECKING:
    from robustcheck.claims import Claim, Subject, Verdict
    from robustcheck.notation import View
    from robustcheck.report.run import ReportedClaim, SourceLocation
    from robustcheck.robustness import Robustness


class NotedVerdicts:
    """By test, its verdicts in the order in which they were decided."""

    def __init__(self) -> None:
        self._noted: defaultdict[pytest.Item | None, list[NotedVerdict]] = defaultdict(list)
        self._claims: defaultdict[pytest.Item | None, list[AssertedClaim]] = defaultdict(list)
        self._asked: dict[pytest.Item, NotedVerdict] = {}
        """By test, the verdict that was asked for its truth last: if an assertion fails, by this one."""

    def begin(self, item: pytest.Item) -> None:
        """Forget what an earlier attempt of a test noted."""
        self._noted.pop(item, None)
        self._claims.pop(item, None)
        self._asked.pop(item, None)

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
        """Return the verdicts that made a test fail."""
        return [noted for noted in self.of(item) if noted.failed]

    def failed_claims(self, item: pytest.Item) -> list[AssertedClaim]:
        """Return the claims that made a test fail."""
        return [claim for claim in self.claims_of(item) if claim.failed]

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

    def asked(self, item: pytest.Item | None, verdict: Verdict) -> NotedVerdict | None:
        """Note that a verdict was asked for its truth: by an assertion it may become a claim; return it as noted."""
        noted = next((each for each in reversed(self.of(item)) if each.decided is verdict), None)
        frame = caller_of_ours(sys._getframe())  # noqa: SLF001 - as above
        if item is None or noted is None:
            return None
        self._asked[item] = noted
        if frame is not None and noted.can_be_asserted:
            self._require(item, noted, comparison_at(frame, verdict).requirement, frame)
        return noted

    def mark_failed(
        self, item: pytest.Item, error: BaseException | None, entry: TracebackType | None
    ) -> None:
        """Mark the claims that made a test fail: those of the statement that raised, or without an error all."""
        raised = self._raised(item, error, entry)
        for noted in raised:
            noted.failed |= not noted.is_part and noted.counts_against
        last = self._asked.get(item)
        if last is None or last not in raised or not last.counts_against:
            return
        claim = next(claim for claim in reversed(self.claims_of(item)) if last in claim.parts)
        for part in claim.parts:
            part.failed |= part.counts_against
        if isinstance(error, AssertionError):
            self._note_parts_behind(item, claim, entry)

    def _note_parts_behind(
        self, item: pytest.Item, failed: AssertedClaim, entry: TracebackType | None
    ) -> None:
        """Note the claims of an assertion that were not evaluated, since an earlier part of it failed.

        What was compared before, and is held by a variable, becomes a claim.
        """
        requirement, frame = failed.parts[0].requirement, _users_entry(entry)
        if requirement is None or frame is None:
            return
        known = self.claims_of(item)
        later = known[known.index(failed) :]
        places = [claim.requirement.part for claim in later if claim.requirement is not None]
        places += [part.place for claim in later for part in claim.unevaluated]
        for part in parts_behind(requirement, frame.tb_frame, places):
            held = next((each for each in self.of(item) if each.decided is part.verdict), None)
            if held is None:
                known[-1].unevaluated.append(part)
            elif held.requirement is None:
                held.requirement = replace(requirement, part=part.place, holds=part.holds, whole="")
                known.append(AssertedClaim([held], requirement=held.requirement))

    def _raised(
        self, item: pytest.Item, error: BaseException | None, entry: TracebackType | None
    ) -> list[NotedVerdict]:
        claims = [noted for noted in self.of(item) if noted.is_claim]
        if error is None:
            return [noted for noted in claims if not noted.is_part]
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
        made = [each for claim in claims for each in (claim, *((claim, part) for part in claim.unevaluated))]
        for number, each in enumerate(made, 1):
            claim, part = each if isinstance(each, tuple) else (each, None)
            claim.forget_frame()
            first = claim.parts[0]
            is_only = first.is_declared and hasattr(item, "declared")
            place = replace(first.place, name=f"{test}#{number}" if len(made) > 1 else test)
            place = place if is_only else _numbered(place, number)
            if part is not None:
                yield _reported_unevaluated(part, first, place)
            else:
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
        claims = self._claims[item]
        place = frame.f_code, frame.f_lasti
        if not (claims and claims[-1].takes(requirement, frame, place)):
            claims.append(AssertedClaim.begun(requirement, frame))
        noted.requirement = replace(requirement, whole=claims[-1].text)
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

    shown = claim.failed or claim.parts
    return ReportedClaim.of_whole(
        claim.text,
        [part.verdict for part in shown],
        shown[0].robustness.classifier.name,
        views=[view for part in shown for view in _views(part)],
        place=place,
        failed=bool(claim.failed),
    )


def _reported_unevaluated(part: Unevaluated, failed: NotedVerdict, place: SourceLocation) -> ReportedClaim:
    from robustcheck.report.run import ReportedClaim

    return ReportedClaim.unevaluated(part.text, failed.robustness.classifier.name, place=place)


def _views(noted: NotedVerdict) -> tuple[View, ...]:
    from robustcheck.notation import View

    return (noted.subject,) if isinstance(noted.subject, View) else noted.subject.views


def _raised_at(entry: TracebackType | None) -> tuple[str, int]:
    """Return the file and line of the last frame of a traceback that is not ours."""
    last = _users_entry(entry)
    return (last.tb_frame.f_code.co_filename, last.tb_lineno) if last else ("", 0)


def _users_entry(entry: TracebackType | None) -> TracebackType | None:
    """Return the last entry of a traceback that is not ours."""
    last = None
    while entry is not None:
        last = last if is_ours(entry.tb_frame.f_code.co_filename) else entry
        entry = entry.tb_next
    return last
