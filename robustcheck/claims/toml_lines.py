"""Where a key stands in a TOML text: the parser of the standard library doesn't tell."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""+'  # up to two quotes more may end it
    r"|'''.*?'''+"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}

Path = tuple[str, ...]


def key_lines(text: str) -> dict[Path, int]:
    r"""Return the line of each key and table that a valid TOML text writes out, by its full path.

    Keys inside inline tables are left out: `line_of` gives the statement's line for them.

    >>> key_lines('[claims]\n"a b" = "x"\n[claims.c]\nclaim = "y"')
    {('claims',): 1, ('claims', 'a b'): 2, ('claims', 'c'): 3, ('claims', 'c', 'claim'): 4}
    """
    lines: dict[Path, int] = {}
    for path, at in _statements(text):
        lines.setdefault(path, text.count("\n", 0, at) + 1)
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int:
    """Return the line of a key: its own, else that of the first key below it, else of what it stands in."""
    if path in lines:
        return lines[path]
    below = [line for key, line in lines.items() if key[: len(path)] == path]
    return min(below) if below else line_of(lines, path[:-1]) if path else 1


def _statements(text: str) -> Iterator[tuple[Path, int]]:
    """Yield the path of each table header and each key with a value, and where it starts."""
    table: Path = ()
    at = _blank(text, 0)
    while at < len(text):
        start = at
        if text[at] == "[":
            while text[at] == "[":
                at += 1
            table, at = _key(text, at)
            at = _end(text, at)
            yield table, start
        else:
            key, at = _key(text, at)
            at = _end(text, at)
            yield table + key, start
        at = _blank(text, at)


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _key(text: str, at: int) -> tuple[Path, int]:
    """Read a dotted key; return its parts and where it ends."""
    parts: list[str] = []
    while True:
        at = _blank(text, at)
        found = _BARE.match(text, at) or _STRING.match(text, at)
        if found is None:
            return tuple(parts), at
        parts.append(_plain(found.group()))
        at = _blank(text, found.end())
        if text[at : at + 1] != ".":
            return tuple(parts), at
        at += 1


def _plain(part: str) -> str:
    if part.startswith("'"):
        return part[1:-1]
    if part.startswith('"'):
        return _ESCAPE.sub(_unescape, part[1:-1])
    return part


def _unescape(found: re.Match[str]) -> str:
    short, long, letter = found.groups()
    return chr(int(short or long, 16)) if short or long else _ESCAPES.get(letter, letter)


def _end(text: str, at: int) -> int:
    """Return the end of the statement: the line's, or that of a value which goes over several."""
    depth = 0
    while at < len(text):
        if found := _STRING.match(text, at):
            at = found.end()
        elif text[at] == "#":
            newline = text.find("\n", at)
            at = len(text) if newline < 0 else newline
        elif text[at] == "\n" and depth <= 0:
            return at
        else:
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(text[at], 0)
            at += 1
    return at
