"""Types of options: each function returns a value of its text, or raises ValueError that says what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.specs import MODEL_SOURCES, check_model_in_view, prefixes

_MOST_DIGITS = 18
_MODEL_NAME = "[A-Za-z][A-Za-z0-9_-]*"


def integer(low: int) -> Callable[[str], int]:
    """Return a parser of integers from `low` up."""

    def parse(text: str) -> int:
        digits = text.strip()
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > _MOST_DIGITS or int(digits) < low:
            raise ValueError(f"must be an integer >= {low}, got {quoted(text)}")
        return int(digits)

    return parse


def spin_count(text: str) -> int | None:
    """Return how often a thread checks for work before it sleeps; None for "off".

    >>> spin_count("3000"), spin_count("off")
    (3000, None)
    """
    if text.strip() == "off":
        return None
    try:
        return integer(0)(text)
    except ValueError:
        raise ValueError(f"must be an integer >= 0, or off, got {quoted(text)}") from None


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


def age(text: str) -> timedelta:
    """Return a number of days or weeks.

    >>> age("30d").days, age("2w").days
    (30, 14)
    """
    found = re.fullmatch(r"([0-9]{1,5})([dw])", text.strip(), re.ASCII)
    if found is None:
        raise ValueError(f"must be a number of days or weeks, such as 30d or 4w, got {quoted(text)}")
    return timedelta(days=int(found[1]) * (7 if found[2] == "w" else 1))


def draw_value(text: str) -> str:
    """Return a text of at most 64 letters, digits, '.', '_' and '-'."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
        raise ValueError(f"must be at most 64 letters, digits, '.', '_' and '-', got {quoted(text)}")
    return text


def seconds(text: str) -> float:
    """Return a time in seconds, above 0.

    >>> seconds("90"), seconds("0.5")
    (90.0, 0.5)
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ValueError(f"must be a number of seconds > 0, such as 600, got {quoted(text)}")
    return value


def probability(text: str) -> float:
    """Return a number between 0 and 1, both excluded."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise ValueError(f"must be a number between 0 and 1, such as 0.05, got {quoted(text)}")
    return value


def share(text: str) -> float:
    """Return a share of 0 to 1, written as a percentage or a number.

    >>> share("80%"), share("0.8")
    (0.8, 0.8)
    """
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if rest or not 0 <= value <= 1:
        raise ValueError(f"must be a share from 0% to 100%, such as 80%, got {quoted(text)}")
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


def transfer_models(text: str) -> Mapping[str, str]:
    """Return the specs of other models by the names that views give them, of `[NAME=]SPEC` joined by commas.

    Without NAME a spec that views may name is its own name; the name of any other is `transfer`.

    >>> transfer_models("resnet50,mine=package.module:build"), transfer_models("package.module:build")
    ({'resnet50': 'resnet50', 'mine': 'package.module:build'}, {'transfer': 'package.module:build'})
    """
    models: dict[str, str] = {}
    for part in re.split(rf",(?={_MODEL_NAME}=)", text):
        named = re.fullmatch(rf"({_MODEL_NAME})=(.+)", part)
        name, spec = named.groups() if named else (_name_of(part), part)
        if name in models or (named and name in prefixes(MODEL_SOURCES)) or not spec.strip():
            raise ValueError(
                f"must be [NAME=]SPEC, joined by commas, each NAME once and none of {', '.join(prefixes(MODEL_SOURCES))}, "
                f"got {quoted(text)}"
            )
        models[name] = spec
    return models


def _name_of(spec: str) -> str:
    try:
        check_model_in_view(spec)
    except RobustcheckError:
        return "transfer"
    return spec


def quoted(text: str, most: int = 60) -> str:
    """Return a text in quotes, cut to `most` characters."""
    return repr(text if len(text) <= most else f"{text[:most]}...")
