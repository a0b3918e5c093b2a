"""What a check is: a statement that holds of any sound evaluation, and a function that looks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    from robustcheck.sanity.subject import Subject


class Failed(Exception):  # noqa: N818 - what it says of the check
    """What a check found wrong, in a sentence."""


class Warned(Exception):  # noqa: N818
    """What a check found that is probably wrong, or is the model's own fault."""


class Skipped(Exception):  # noqa: N818
    """Why a check can say nothing here."""


@dataclass(frozen=True)
class CheckResult:
    """What a check found."""

    name: str
    state: Literal["passed", "warned", "failed", "skipped"]
    text: str
    """What was found; of a check that failed or warned, also what that means and what to look at."""

    @property
    def passed(self) -> bool:
        """Whether nothing was found wrong; a check that was skipped found nothing."""
        return self.state != "failed"


@dataclass(frozen=True)
class Check:
    """A statement that holds of any sound evaluation, and how to look."""

    function: Callable[[Subject], str]
    """Returns what was found to be right; raises `Failed`, `Warned` or `Skipped`. Its docstring is statement and advice."""

    @property
    def name(self) -> str:
        """The statement as a name: `logits_are_finite`."""
        return self.function.__name__

    @property
    def statement(self) -> str:
        """What holds of a sound evaluation, in a sentence."""
        return self._paragraphs[0]

    @property
    def advice(self) -> str:
        """What it means where that does not hold, and what to look at."""
        return self._paragraphs[1]

    @property
    def _paragraphs(self) -> list[str]:
        text = inspect.getdoc(self.function) or ""
        return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]

    def run(self, subject: Subject) -> CheckResult:
        """Return what it found."""
        try:
            return CheckResult(self.name, "passed", self.function(subject))
        except Failed as problem:
            return CheckResult(self.name, "failed", f"{problem}. {self.advice}")
        except Warned as problem:
            return CheckResult(self.name, "warned", f"{problem}. {self.advice}")
        except Skipped as reason:
            return CheckResult(self.name, "skipped", str(reason))
        except RobustcheckError as error:  # what is examined can't even be evaluated
            return CheckResult(self.name, "failed", str(error))
