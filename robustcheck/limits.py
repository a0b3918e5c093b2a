"""Limits on outside data: how large a file may be, or what it unpacks to, before anything is computed from it.

A limit is a row of `LIMITS`. Code that reads outside data asks `check` or `excess` before it allocates or computes, and
`--robustcheck-input-limits=NAME:N` raises the limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from robustcheck.byte_size import format_size, parse_size
from robustcheck.errors import RobustcheckError, unknown

OPTION = "--robustcheck-input-limits"
_MOST_DIGITS = 18


@dataclass(frozen=True)
class Limit:
    """A row: the name of a limit in the option, its default, and what it counts, in the plural."""

    name: str
    default: int
    unit: str
    description: str

    def shown(self, count: int) -> str:
        """Return a count with its unit.

        >>> Limit("pixels", 0, "pixels", "").shown(1_000_000), Limit("image-bytes", 0, "bytes", "").shown(1_000_000)
        ('1,000,000 pixels', '1.0 MB')
        """
        return format_size(count) if self.unit == "bytes" else f"{count:,} {self.unit}"


LIMITS = {
    row.name: row
    for row in (
        Limit("pixels", 50_000_000, "pixels", "of an image, as decoded and as resized"),
        Limit("image-bytes", 500_000_000, "bytes", "of an image file"),
        Limit("table-bytes", 1_000_000_000, "bytes", "of what is read of a table of images, unpacked"),
        Limit("table-rows", 20_000_000, "rows", "of a table of images"),
        Limit("item-bytes", 20_000_000_000, "bytes", "of an iterable's images, which are kept in memory"),
        Limit("toml-bytes", 10_000_000, "bytes", "of a robustcheck.toml"),
        Limit("checkpoint-objects", 3_000_000, "pickle instructions", "of a checkpoint"),
        Limit(
            "unpacked-bytes", 1_000_000_000, "bytes", "that a model's archive unpacks to beyond its own size"
        ),
        Limit("directory-bytes", 20_000_000, "bytes", "of the directory of a model's archive"),
        Limit("repeated-bytes", 100_000_000, "bytes", "of a tensor that repeats fewer stored numbers"),
        Limit("graph-bytes", 50_000_000, "bytes", "of the graph of an exported program, as JSON"),
        Limit("graph-nodes", 20_000, "nodes", "of the graph of an exported program"),
        Limit("layers", 2000, "layers", "of a Hugging Face configuration"),
        Limit("parameters", 5_000_000_000, "parameters", "of a Hugging Face configuration"),
        Limit("classes", 100_000, "classes", "that a file gives a model"),
    )
}
"""The rows, by name."""

_in_use = {name: row.default for name, row in LIMITS.items()}


def limit(name: str) -> int:
    """Return the limit in use: the default, or what the option says."""
    return _in_use[name]


def excess(name: str, got: int) -> str:
    """Return "" if `got` is within the limit; else what was got, the limit, and how to raise it.

    >>> excess("pixels", 5), excess("pixels", 90_000_000)  # doctest: +NORMALIZE_WHITESPACE
    ('', '90,000,000 pixels, more than the limit of 50,000,000 pixels: if that is meant, raise it with
    --robustcheck-input-limits=pixels:90000000')
    """
    most, row = limit(name), LIMITS[name]
    if got <= most:
        return ""
    return (
        f"{row.shown(got)}, more than the limit of {row.shown(most)}: if that is meant, raise it with "
        f"{OPTION}={name}:{got}"
    )


def check(name: str, got: int, what: str) -> None:
    """Raise RobustcheckError if `got` is above the limit `name`; `what` is the start of the message.

    >>> check("table-rows", 10**9, "list.csv has")
    Traceback (most recent call last):
    robustcheck.errors.RobustcheckError: list.csv has 1,000,000,000 rows, more than the limit of ...
    """
    if beyond := excess(name, got):
        raise RobustcheckError(f"{what} {beyond}")


@contextmanager
def use_limits(changed: Mapping[str, int]) -> Iterator[None]:
    """Use other limits in this process until the end of the block.

    >>> with use_limits({"pixels": 10}):
    ...     limit("pixels")
    10
    """
    before = dict(_in_use)
    _in_use.update(changed)
    try:
        yield
    finally:
        _in_use.update(before)


def limits_in_use() -> dict[str, int]:
    """Return the limits that differ from the defaults, for another process to use."""
    return {name: most for name, most in _in_use.items() if most != LIMITS[name].default}


def parse_limits(text: str) -> dict[str, int]:
    """Return the limits that the option names.

    >>> parse_limits("pixels:400M,table-rows:50000000")
    {'pixels': 400000000, 'table-rows': 50000000}

    Raises RobustcheckError for a name or a value that is not allowed.
    """
    changed = {}
    for word in text.split(","):
        name, _, value = (part.strip() for part in word.partition(":"))
        if name not in LIMITS:
            raise unknown("limit", name, LIMITS)
        changed[name] = _number(name, value)
    return changed


def _number(name: str, text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text):
        return int(text)
    try:
        return parse_size(text)
    except ValueError:
        raise RobustcheckError(
            f"{name}: must be an integer >= 1, or one with K, M or G such as 400M, got {text[:60]!r}"
        ) from None


def described() -> str:
    """Return the rows as text, for help.

    >>> described()[:60]
    'pixels (50,000,000 pixels of an image, as decoded and as res'
    """
    return ", ".join(f"{row.name} ({row.shown(row.default)} {row.description})" for row in LIMITS.values())
