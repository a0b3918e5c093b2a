"""What may stand behind the options, read: each raises ValueError that says what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from robustcheck.errors import unknown
from robustcheck.options.workers import read_address

_MOST_DIGITS = 18


def whole(low: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `low` up."""

    def read(text: str) -> int:
        digits = text.strip()
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > _MOST_DIGITS or int(digits) < low:
            raise ValueError(f"it is a whole number from {low} up")
        return int(text)

    return read


def batch_size(text: str) -> int | str:
    """Return how many images the model gets at once, or "auto"."""
    if text.strip() == "auto":
        return "auto"
    try:
        return whole(1)(text)
    except ValueError:
        raise ValueError("it is a whole number from 1 up, or auto") from None


def share(text: str) -> float:
    """Return a number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise ValueError("it is a number between 0 and 1, such as 0.05")
    return value


def one_of(*words: str) -> Callable[[str], str]:
    """Return a reader of some words."""

    def read(text: str) -> str:
        if text not in words:
            raise unknown("value", text, words)
        return text

    return read


def workers(text: str) -> str:
    """Return who computes, once it is found to be readable."""
    read_address(text)
    return text


def path(*suffixes: str) -> Callable[[str], Path]:
    """Return a reader of paths of files with one of some endings."""

    def read(text: str) -> Path:
        if Path(text).suffix.lower() not in suffixes:
            raise ValueError(f"it is the path of a file that ends in {' or '.join(suffixes)}")
        return Path(text)

    return read
