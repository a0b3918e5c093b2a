"""A place in a text that is read from left to right, for parsers by recursive descent."""

from __future__ import annotations

import re

DEEPEST = 50
"""How many steps or parentheses may be inside one another."""


class Cursor:
    """A text and the place of what comes next."""

    fault: type[ValueError]
    """The error, made from the text, a place in it and the problem."""

    def __init__(self, text: str) -> None:
        self.text: str = text
        self.at: int = 0
        self.depth: int = 0

    @property
    def is_at_end(self) -> bool:
        """Whether nothing comes any more."""
        return self.at >= len(self.text)

    def error(self, problem: str, at: int | None = None) -> ValueError:
        """Return an error that points at a place, or at what comes next."""
        return self.fault(self.text, self.at if at is None else at, problem)

    def unexpected(self, what: str) -> ValueError:
        """Return the error for something else than what may come next."""
        got = "the end" if self.is_at_end else repr(self.text[self.at])
        return self.error(f"expected {what}, got {got}")

    def blank(self) -> None:
        """Go past white space."""
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def take(self, marks: str) -> str:
        """Return the next character if it is one of `marks`, and go past it and white space on both sides; else ""."""
        self.blank()
        mark = self.text[self.at : self.at + 1]
        if not mark or mark not in marks:
            return ""
        self.at += 1
        self.blank()
        return mark

    def expect(self, mark: str) -> None:
        """Go past a character that must come next."""
        if not self.take(mark):
            raise self.unexpected(repr(mark))

    def match(self, pattern: re.Pattern[str]) -> str:
        """Return what matches here, and go past it; "" where nothing does."""
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found.group() if found else ""

    def nest(self, what: str, at: int) -> None:
        """Go one level deeper, or raise where that is too deep; `depth -= 1` leaves the level."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(f"more than {DEEPEST} {what} inside one another", at)
