"""Short texts that messages and reports share: percentages, intervals, lists; and foreign texts made printable."""

from __future__ import annotations

import math
import os
import re
import shlex
import textwrap
import unicodedata
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINS_EMOJI = "\u200d"
_COMMAND = re.compile(r"^(\s*):(?=:)|(?<=#)#(?=\w*\[)")
"""What a CI system takes for a command: GitHub `::` after blanks and `##[` anywhere, Azure `##vso[`, TeamCity
`##teamcity[`."""
_PLAIN_ON_WINDOWS = re.compile(r"[\w+./:=\\-]+", re.ASCII)
_BEFORE_QUOTE = re.compile(r'(\\*)("|$)')
"""Backslashes before a quote count double there."""
LONGEST_LINE = 5000
_NO_BREAK = "\u00a0"
_OF_A_NUMBER = re.compile(r"(?<=[<>=]) (?=[\d-])|(?<=\d) (?=%)")
"""Blanks that stay on one line: those in `>= 50.0 %`."""
_EXACT = 1e12
_DIGITS = 9
"""Decimals of a percentage that floating point keeps: means of float32 differ in those behind."""


def printable(text: str) -> str:
    r"""Return a text of anyone's on one line, with escapes for what is invisible, reorders text, or is a CI command.

    Control characters (C0 and C1, so also line breaks), bidirectional marks, line and paragraph separators, lone
    surrogates and unassigned characters are escaped as Python writes them; a line is cut after 5000 characters.

    >>> print(printable("a\u202eb\nc"), printable(" ::error::x"), printable("a ##[error]b"))
    a\u202eb\nc  \x3a:error::x a #\x23[error]b
    """
    if len(text) > LONGEST_LINE:
        text = f"{text[:LONGEST_LINE]}..."
    if not (text.isascii() and text.isprintable()):
        text = "".join(
            char if _is_shown(char) else char.encode("unicode_escape").decode("ascii") for char in text
        )
    return _COMMAND.sub(lambda found: r"\x23" if found[0] == "#" else rf"{found[1]}\x3a", text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, each as `printable` has it."""
    return "\n".join(map(printable, text.split("\n")))


def _is_shown(char: str) -> bool:
    return char == _JOINS_EMOJI or unicodedata.category(char) not in _INVISIBLE


def fixed(value: float, decimals: int, sign: str = "") -> str:
    """Return a number with some decimals, halves rounded up: what floating point lost in adding up doesn't show.

    >>> fixed(98.85, 1), fixed(100 * (1977 / 2000), 1), fixed(-0.04, 1), fixed(2.5, 0, "+")
    ('98.9', '98.9', '0.0', '+3')
    """
    if not math.isfinite(value):
        return "unbounded"
    if abs(value) >= _EXACT:
        return f"{value:{sign}.{decimals}f}"
    exact = Decimal(repr(round(float(value), _DIGITS)))
    rounded = exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{rounded + 0:{sign}.{decimals}f}"


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


def wrapped(text: str, width: int, **options: Any) -> list[str]:
    """Return a text in lines of at most `width` columns, which part no number from its sign; `options` are textwrap's.

    >>> wrapped("measured 9.1 %, required >= 50.0 %", 30)
    ['measured 9.1 %, required', '>= 50.0 %']
    """
    kept = _OF_A_NUMBER.sub(_NO_BREAK, text)
    lines = textwrap.wrap(kept, width, break_on_hyphens=False, **options)
    return [line.replace(_NO_BREAK, " ") for line in lines]


def first_line(error: BaseException | str, most: int = 200) -> str:
    r"""Return the first line of an error's message that is not blank, cut to `most` characters.

    >>> first_line(ValueError("  it broke\nat 3")), first_line(ValueError())
    ('it broke', 'no message')
    """
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), "no message")[:most]


def shortened(text: str, width: int) -> str:
    """Return a text's first line in at most `width` columns: cut behind a sentence, a clause or a word.

    >>> shortened("unknown measure 'top': did you mean top_probability? Allowed: accuracy, kept", 60)
    "unknown measure 'top': did you mean top_probability?"
    >>> shortened("must be text such as accuracy", 22)
    'must be text such ...'
    """
    line = first_line(text)
    if len(line) <= width:
        return line
    for end_of in (r"[?.](?= )", r"\S(?=[,:;] | \()"):  # a sentence, or a clause
        ends = [found.end() for found in re.finditer(end_of, line) if width // 3 <= found.end() <= width]
        if ends:
            return line[: ends[-1]]
    return textwrap.shorten(line, width, placeholder=" ...")


def shell_command(arguments: Iterable[str], system: str = os.name) -> str:
    r"""Return a command for a person to type, in printable characters, as the shells of a system read it.

    Of POSIX, bytes of no text are written as bash and zsh read them. On Windows (`system` "nt") quotes are those that
    cmd and PowerShell share; characters that don't print are escaped as Python writes them.

    >>> print(shell_command(["pytest", "a b", "caf\udce9"], "posix"))
    pytest 'a b' $'caf\xe9'
    >>> print(shell_command(["pytest", "a.py::t[x&y]", "--x=C:\\my models\\"], "nt"))
    pytest "a.py::t[x&y]" "--x=C:\my models\\"
    """
    return " ".join(map(_quoted_on_windows if system == "nt" else _quoted, arguments))


def _quoted_on_windows(argument: str) -> str:
    argument = printable(argument)
    if _PLAIN_ON_WINDOWS.fullmatch(argument):
        return argument
    return f'"{_BEFORE_QUOTE.sub(_doubled, argument)}"'


def _doubled(found: re.Match[str]) -> str:
    return 2 * found[1] + (r"\"" if found[2] else "")


def _quoted(argument: str) -> str:
    if argument.isprintable():
        return shlex.quote(argument)
    parts = (
        char
        if char.isprintable() and char not in "'\\"
        else "".join(f"\\x{byte:02x}" for byte in _bytes(char))
        for char in argument
    )
    return f"$'{''.join(parts)}'"


def _bytes(char: str) -> bytes:
    return char.encode("utf-8", "surrogateescape" if "\udc80" <= char <= "\udcff" else "backslashreplace")


def short_path(path: Path) -> str:
    """Return a path as seen from the working directory; one outside of it as it is."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # elsewhere, or the directory was removed
        return os.fspath(path)


def _number(value: float | None, decimals: int, sign: str = "") -> str:
    if value is None or math.isnan(value):
        return "unknown"
    return fixed(100 * value, decimals, sign)
