"""What an amount or an option's value may be, each with the words for what is not."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from robustcheck.notation.tree import Amount, Span, X

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?")
IDENTITY = ":identity"
"""What is written behind a defence that the gradient passes as if it were not there."""


@dataclass(frozen=True)
class Number:
    """A number from low to high, both allowed; with `spans`, also a range `low..high` to draw it from."""

    name: str
    low: int | float = -math.inf
    high: int | float = math.inf
    default: int | float | None = None
    integer: bool = False
    spans: bool = False
    because: str = ""
    words: str = ""
    """What is allowed, where the bounds alone do not say it."""

    @property
    def example(self) -> str:
        """One that is allowed."""
        return str(max(1, int(self.low)) if math.isfinite(self.low) else 1)

    def read(self, text: str) -> Amount:
        """Return the number or range, or raise ValueError that says what is allowed."""
        if self.spans and ".." in text:
            low, high = map(self._read, text.split("..", maxsplit=1))
            if low >= high:
                raise ValueError(f"a range of {self.name} goes from a smaller number to a larger, got {text}")
            return Span(low, high)
        return self._read(text)

    def _read(self, text: str) -> int | float:
        number = float(text) if _NUMBER.fullmatch(text) else None
        if number is None or not self.low <= number <= self.high or (self.integer and number % 1):
            raise ValueError(f"{self.name} is {self.allowed()}, got {text}")
        return int(number) if number.is_integer() else number

    def allowed(self) -> str:
        """Return what is allowed, in words."""
        kind = "a whole number" if self.integer else "a number"
        bounded = f" from {self.low} to {self.high}" if math.isfinite(self.high - self.low) else ""
        return (self.words or f"{kind}{bounded}") + (f": {self.because}" if self.because else "")

    def canonical(self, text: str) -> str:
        """Return the value's one spelling."""
        return str(self.read(text))


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    name: str
    words: tuple[str, ...]
    default: str | None = None

    def canonical(self, text: str) -> str:
        """Return the value's one spelling, or raise ValueError that says what is allowed."""
        if text not in self.words:
            raise ValueError(f"{self.name} is one of {', '.join(self.words)}, got {text}")
        return text


@dataclass(frozen=True)
class Text:
    """Anything that can be written without blanks, commas and brackets."""

    name: str
    default: str | None = None

    def canonical(self, text: str) -> str:
        """Return the text."""
        return text


@dataclass(frozen=True)
class Target:
    """The class that an attack makes for: a class index, or the clean image's least likely class."""

    name: str
    default: None = None

    def canonical(self, text: str) -> str:
        """Return the value's one spelling, or raise ValueError that says what is allowed."""
        if text == "least":
            return text
        if not text.isascii() or not text.isdecimal():
            raise ValueError(f"{self.name} is a class index, or least, got {text}")
        return str(int(text))


@dataclass(frozen=True)
class Through:
    """The defences that an attack's gradient goes through, in the order in which they are applied: `JPG+Noise_2`.

    Behind one without a gradient of its own stands `:identity`: backward it is passed as if it were not there.
    """

    name: str
    default: None = None

    def canonical(self, text: str) -> str:
        """Return the value's one spelling, or raise ValueError that says what is allowed."""
        parts, start = [], 0
        for part in text.split("+"):
            parts.append(self._part(part, start))
            start += len(part) + 1
        return "+".join(parts)

    def _part(self, text: str, start: int) -> str:
        from robustcheck.notation.parser import NotationError, parse

        written = text.removesuffix(IDENTITY)
        try:
            view = parse(written)
        except NotationError as error:
            raise NotationError(error.text, start + error.column, error.problem) from None
        step = None if view == X else view.declared
        if step is None or view.sources != (X,) or step.gradient is None:
            raise ValueError(
                f"{self.name} is what stands between attack and model, such as JPG, JPG_50, JPG:identity or "
                f"JPG+Noise_2, got {text}"
            )
        if step.gradient == "identity":  # the one spelling of a defence that has no other gradient
            return view.alone if step.kind == "noise" else view.alone + IDENTITY
        return view.alone + (IDENTITY if text != written else "")


def passages(through: str | None) -> list[tuple[str, bool]]:
    """Return the defences of a canonical `through`, in order, and whether each is passed by the identity.

    >>> passages("JPG_50+JPG:identity")
    [('JPG_50', False), ('JPG', True)]
    """
    parts = through.split("+") if through else []
    return [(part.removesuffix(IDENTITY), part.endswith(IDENTITY)) for part in parts]
