"""Short texts that messages and reports share: percentages, intervals, lists, the first line of an error."""

from __future__ import annotations

import math
from collections.abc import Iterable


def percent(value: float | None, decimals: int = 1) -> str:
    """Return a share as a percentage.

    >>> percent(0.5), percent(0.12345, 2), percent(None), percent(float("inf"))
    ('50.0 %', '12.35 %', 'unknown', 'unbounded')
    """
    number = _number(value, decimals)
    return number if number.isalpha() else f"{number} %"


def interval(low: float | None, high: float | None, decimals: int = 1, *, signed: bool = False) -> str:
    """Return an interval of shares in per cent, without the unit; `signed` for differences, in points.

    >>> interval(0.5, 0.625), interval(-0.01, 0.02, signed=True)
    ('50.0 .. 62.5', '-1.0 .. +2.0')
    """
    return " .. ".join(_number(end, decimals, "+" if signed else "") for end in (low, high))


def listed(items: Iterable[str], most: int = 5, between: str = ", ") -> str:
    """Return the first items of a list and how many more there are.

    >>> listed("abc"), listed("abcdefgh"), listed(["a, b", "c", "d"], 1, between="; ")
    ('a, b, c', 'a, b, c, d, e and 3 more', 'a, b; and 2 more')
    """
    every = list(items)
    joint = " " if between == ", " else between  # only a comma gives way to "and"
    more = f"{joint}and {len(every) - most} more" if len(every) > most else ""
    return between.join(every[:most]) + more


def first_line(error: BaseException | str, most: int = 200) -> str:
    r"""Return the first line of an error's message that is not blank, cut to `most` characters.

    >>> first_line(ValueError("  it broke\nat 3")), first_line(ValueError())
    ('it broke', 'no message')
    """
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), "no message")[:most]


def _number(value: float | None, decimals: int, sign: str = "") -> str:
    if value is None or math.isnan(value):
        return "unknown"
    return f"{100 * value + 0.0:{sign}.{decimals}f}" if math.isfinite(value) else "unbounded"
