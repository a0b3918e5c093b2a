"""What may be written for a step's amount and options: each kind reads text into a value, or says what is allowed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from robustcheck.errors import RobustcheckError
from robustcheck.specs import check_model_in_view

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?")


@dataclass(frozen=True)
class Span:
    """A number that is drawn anew for each image, from low to high, both included."""

    low: int | float
    high: int | float

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


Amount = int | float | Span


class Options(dict[str, Any]):
    """A step's options as values, defaults included: `options.eot`, or `options["from"]`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no option {name!r}; there are: {', '.join(self) or 'none'}") from None


class Option:
    """One kind of option, and the name of one; `default` is the value if none is written."""

    name: Any
    default: Any

    def parse(self, text: str) -> Any:
        """Return the value that a text means, or raise ValueError that says what is allowed."""
        raise NotImplementedError

    def text(self, value: Any) -> str:
        """Return a value's one spelling."""
        return str(value)


@dataclass(frozen=True)
class Number(Option):
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
        """A number that is allowed."""
        return str(max(1, int(self.low)) if math.isfinite(self.low) else 1)

    def parse(self, text: str) -> Amount:
        """Return the number or range, or raise ValueError that says what is allowed."""
        if self.spans and ".." in text:
            low, high = map(self._number, text.split("..", maxsplit=1))
            if low >= high:
                raise ValueError(
                    f"a range of {self.name} must go from a smaller number to a larger one, got {text}"
                )
            return Span(low, high)
        return self._number(text)

    def _number(self, text: str) -> int | float:
        number = float(text) if _NUMBER.fullmatch(text) else None
        if number is None or not self.low <= number <= self.high or (self.integer and number % 1):
            raise ValueError(f"{self.name} must be {self.allowed()}, got {text}")
        return int(number) if number.is_integer() else number

    def allowed(self) -> str:
        """Return what is allowed, in words."""
        kind = "an integer" if self.integer else "a number"
        bounded = f" from {self.low} to {self.high}" if math.isfinite(self.high - self.low) else ""
        return (self.words or f"{kind}{bounded}") + (f": {self.because}" if self.because else "")


DRAWS = Number("draws", 1, 1000, default=1, integer=True)
"""How many draws of what is random the measures of a view are the means of."""


@dataclass(frozen=True)
class Choice(Option):
    """One of several words."""

    name: str
    words: tuple[str, ...]
    default: str | None = None

    def parse(self, text: str) -> str:
        """Return the word, or raise ValueError that says what is allowed."""
        if text not in self.words:
            raise ValueError(f"{self.name} must be one of {', '.join(self.words)}, got {text}")
        return text


@dataclass(frozen=True)
class Flag(Option):
    """True or false, written in small letters."""

    name: str
    default: bool | None = None
    words: ClassVar[tuple[str, ...]] = ("true", "false")

    def parse(self, text: str) -> bool:
        """Return the truth value, or raise ValueError that says what is allowed."""
        return Choice(self.name, self.words).parse(text) == "true"

    def text(self, value: bool) -> str:
        """Return a truth value's one spelling."""
        return str(value).lower()


@dataclass(frozen=True)
class Text(Option):
    """Anything that can be written without blanks, commas and brackets."""

    name: str
    default: str | None = None

    def parse(self, text: str) -> str:
        """Return the text, or raise ValueError where it has characters that can't be seen."""
        if not text.isprintable():
            raise ValueError(f"{self.name} must be printable text, got {text!r}")
        return text


@dataclass(frozen=True)
class ModelNames(Option):
    """Other models, joined by `+`, by names that run no code: torchvision or timm names, the sample, or ones that the run declares."""

    name: str
    default: None = None

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the names in alphabetical order, or raise RobustcheckError that says what is allowed."""
        names = text.split("+")
        for name in names:
            try:
                check_model_in_view(name)
            except RobustcheckError as error:
                raise RobustcheckError(f"{self.name} {error}") from None
        if len(set(names)) < len(names):
            raise RobustcheckError(f"{self.name} must name each model once, got {text!r}")
        return tuple(sorted(names))

    def text(self, value: tuple[str, ...]) -> str:
        """Return the names' one spelling."""
        return "+".join(value)


@dataclass(frozen=True)
class Target(Option):
    """The class that a targeted attack aims at: a class index, or the clean image's least likely class."""

    name: str
    default: None = None

    def parse(self, text: str) -> int | str:
        """Return the class index, or "least"; raise ValueError that says what is allowed."""
        if text == "least":
            return text
        if not text.isascii() or not text.isdecimal():
            raise ValueError(f"{self.name} must be a class index or least, got {text}")
        return int(text)
