"""Errors that a user can fix: the message says what was got, what is allowed, what to do.

Messages quote texts of others: names of files and classes, keys of checkpoints, cells of tables. So the classes here,
and those derived from them, make every message printable (`robustcheck.text.printable`), whoever raises them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from robustcheck.text import listed, printable_lines


def _shown(arguments: Iterable[object]) -> Iterator[object]:
    return (printable_lines(each) if isinstance(each, str) else each for each in arguments)


class RobustcheckError(ValueError):
    """A mistake in the user's input; the message is complete without a traceback."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*_shown(arguments))


class ClaimFailed(AssertionError):  # noqa: N818 - it fails a test as an assertion does
    """A claim that was checked does not hold or was not shown; the message explains, `verdict` has the numbers."""

    def __init__(self, message: str, verdict: object) -> None:
        super().__init__(*_shown([message]))
        self.verdict = verdict


class RobustnessWarning(UserWarning):
    """The run continues, but a number may not mean what it seems to mean."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*_shown(arguments))


def unknown(kind: str, got: str, allowed: Iterable[str]) -> RobustcheckError:
    """Return the error for a name that is not in `allowed`, with the nearest match.

    >>> print(unknown("codec", "pilow", ["pillow", "tensor"]))
    unknown codec 'pilow': did you mean 'pillow'? Allowed: pillow, tensor
    """
    names = sorted(allowed)
    near = get_close_matches(got[:200], names, n=1)
    question = f"did you mean {near[0]!r}? " if near else ""
    shown = got if len(got) <= 80 else f"{got[:80]}..."
    return RobustcheckError(f"unknown {kind} {shown!r}: {question}Allowed: {listed(names, 12)}")
