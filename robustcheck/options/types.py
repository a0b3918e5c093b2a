"""Types of options: each function returns a value of its text, or raises ValueError that says what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from robustcheck.errors import unknown

_MOST_DIGITS = 18


def integer(low: int) -> Callable[[str], int]:
    """Return a parser of integers from `low` up."""

    def parse(text: str) -> int:
        digits = text.strip()
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > _MOST_DIGITS or int(digits) < low:
            raise ValueError(f"must be an integer >= {low}, got {quoted(text)}")
        return int(digits)

    return parse


def batch_size(text: str) -> int | str:
    """Return a batch size, or "auto".

    >>> batch_size("32"), batch_size("auto")
    (32, 'auto')
    """
    if text.strip() == "auto":
        return "auto"
    try:
        return integer(1)(text)
    except ValueError:
        raise ValueError(f"must be an integer >= 1, or auto, got {quoted(text)}") from None


def probability(text: str) -> float:
    """Return a number between 0 and 1, both excluded."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise ValueError(f"must be a number between 0 and 1, such as 0.05, got {quoted(text)}")
    return value


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser of some words."""

    def parse(text: str) -> str:
        if text not in words:
            raise unknown("value", text, words)
        return text

    return parse


def file_path(*suffixes: str) -> Callable[[str], Path]:
    """Return a parser of paths of files with one of some suffixes."""

    def parse(text: str) -> Path:
        if Path(text).suffix.lower() not in suffixes:
            raise ValueError(f"must be a path that ends in {' or '.join(suffixes)}, got {quoted(text)}")
        return Path(text)

    return parse


def quoted(text: str, most: int = 60) -> str:
    """Return a text in quotes, cut to `most` characters."""
    return repr(text if len(text) <= most else f"{text[:most]}...")
