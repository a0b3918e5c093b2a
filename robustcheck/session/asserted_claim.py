"""A claim that a test made: a verdict, or several, and what the assertion requires of them.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from robustcheck.session.assertion_tail import Unevaluated
from robustcheck.session.statement import Requirement, is_inside

if TYPE_CHECKING:
    from robustcheck.claims import Subject, Verdict
    from robustcheck.report.run import SourceLocation
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
        return self.requirement is not None and self.requirement.holds is False

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
    def is_part(self) -> bool:
        """Whether the claim is made of several comparisons, and this is one of them."""
        return self.requirement is not None and bool(self.requirement.whole)

    @property
    def counts_against(self) -> bool:
        """Whether it is not as the test requires."""
        can_be_told = self.requirement is None or self.requirement.holds is not None
        return self.verdict.state != "holds" or not can_be_told


@dataclass(eq=False)
class AssertedClaim:
    """What a test requires: a verdict, or a whole such as `C or D` with the verdicts that were needed."""

    parts: list[NotedVerdict]
    text: str = ""
    """The source of the whole; "" of a single verdict."""
    requirement: Requirement | None = None
    frame: FrameType | None = None
    """The call that runs the assertion: another one makes another claim."""
    variables: dict[str, Any] = field(default_factory=dict)
    """What that call's variables held: in a loop, they tell one round from the next."""
    seen: set[tuple[CodeType, int]] = field(default_factory=set)
    """The places of the parts: if one comes again, this is another claim."""
    unevaluated: list[Unevaluated] = field(default_factory=list)
    """The claims behind it, which were not evaluated since it failed."""

    @property
    def failed(self) -> list[NotedVerdict]:
        """Those of the verdicts that made the test fail."""
        return [part for part in self.parts if part.failed]

    @classmethod
    def begun(cls, requirement: Requirement, frame: FrameType) -> AssertedClaim:
        """Return the claim of an assertion that a frame runs, or a comprehension in it."""
        around = _statement_frame(frame)
        variables = _variables(around, requirement) if requirement.whole else {}
        return cls([], requirement.whole, requirement, around, variables)

    def takes(self, requirement: Requirement, frame: FrameType, place: tuple[CodeType, int]) -> bool:
        """Whether a further verdict is a part of it."""
        known = self.requirement
        if not self.text or known is None or self.frame is not _statement_frame(frame):
            return False
        inside = known.file == requirement.file and is_inside(requirement.part, known.part)
        return inside and self._is_same_round() and (known.repeats or place not in self.seen)

    def _is_same_round(self) -> bool:
        now = _variables(self.frame, self.requirement)
        return now.keys() == self.variables.keys() and all(
            now[name] is value for name, value in self.variables.items()
        )

    def forget_frame(self) -> None:
        """Let go of what the test's variables hold."""
        self.frame = None
        self.variables.clear()


def _statement_frame(frame: FrameType) -> FrameType:
    """Return the frame of the statement that a comprehension stands in."""
    while frame.f_code.co_name in {"<genexpr>", "<listcomp>", "<setcomp>"} and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _variables(frame: FrameType | None, requirement: Requirement | None) -> dict[str, Any]:
    """Return what the variables of a frame hold, but for those that the assertion itself assigns."""
    if frame is None or requirement is None:
        return {}
    own = {name: value for name, value in frame.f_locals.items() if not name.startswith("@")}  # not pytest's
    return {name: value for name, value in own.items() if name not in requirement.bound}
