"""Claims in a file, for gates without Python: `robustcheck.toml`.

family = "holm"                  # optional: those that hold, hold jointly; else "none"
alpha = 0.05                     # optional, for all claims; so are tolerance, about, on_undecided
                                 # (these may also stand in a table [robustcheck])
[claims]
still-usable = "accuracy(JPG(Adv_1)) >= 0.8 * accuracy(x)"

[claims.jpeg-undoes-eps-1]       # a claim with settings of its own
claim = "recovery(JPG(Adv_1)) >= 60%"
tolerance = 0.01
about = "population"             # or "testset", these very images
on_undecided = "warn"            # or "fail", "pass"
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from robustcheck.claims.claim import Claim
from robustcheck.claims.parser import parse_claim
from robustcheck.claims.policy import WORDS, ClaimSettings, check_setting
from robustcheck.errors import RobustcheckError, unknown
from robustcheck.limits import check, limit
from robustcheck.regular_file import open_regular
from robustcheck.text import printable

Family = Literal["none", "holm"]


@dataclass(frozen=True)
class DeclaredClaim:
    """A claim of a file, by its name."""

    name: str
    text: str
    claim: Claim
    line: int
    settings: ClaimSettings


@dataclass(frozen=True)
class ClaimFile:
    """All claims of a file, in its order."""

    claims: tuple[DeclaredClaim, ...]
    family: Family


OWN = ("alpha", "tolerance", "about", "on_undecided")
"""The settings that a claim can have."""
SHARED = (*OWN, "family")
"""The settings that a file can have for all its claims."""
_KEY = r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'"""
_DOTTED = rf"((?:{_KEY})(?:[ \t]*\.[ \t]*(?:{_KEY}))*)[ \t]*"
_HEADER = re.compile(rf"[ \t]*\[+[ \t]*{_DOTTED}\]")
_ASSIGNMENT = re.compile(rf"[ \t]*{_DOTTED}=")
_DEEPEST_KEY = 4


def read_claims(path: Path | str) -> ClaimFile:
    """Return the claims that a `robustcheck.toml` declares.

    Raises `RobustcheckError` that names the file and the line, for bad TOML and for everything in it that is no
    claim or setting.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            check("toml-bytes", os.fstat(file.fileno()).st_size, f"{path} has")
            text = file.read(limit("toml-bytes")).decode("utf-8-sig").replace("\r\n", "\n")
    except RobustcheckError:
        raise
    except UnicodeDecodeError as error:
        raise RobustcheckError(
            f"{path}:1: a TOML file must be UTF-8, got byte {error.object[error.start]:#x}"
        ) from None
    except (OSError, ValueError) as error:
        raise RobustcheckError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return _Reader(path, text).file()
    except RecursionError:
        raise RobustcheckError(
            f"{path}: arrays or tables are nested too deeply; a claim needs none"
        ) from None
    except OverflowError:
        raise RobustcheckError(f"{path}: a number is too large; settings are numbers such as 0.05") from None


_MOST_PARTS = 16
_LONG_KEY = re.compile(
    rf"""(?<![\w\\-])(?:(?:"(?:[^"\\\n]++|\\.)*+"|'[^'\n]*'|[\w-]+)[ \t]*\.[ \t]*){{{_MOST_PARTS}}}"""
)
"""What tomllib takes quadratic time for; also in a text, where nobody writes so."""


class _Reader:
    """One file: its tables, and the line of each key for the messages."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        if too_long := _LONG_KEY.search(text):
            raise self._bad_toml(
                f"a key must have at most {_MOST_PARTS} parts between dots, got more (at line "
                f"{text.count(chr(10), 0, too_long.start()) + 1}, column 1): of a claim it is its name below [claims]",
                text,
            )
        try:
            self.content: dict[str, Any] = tomllib.loads(text)
        except ValueError as error:  # TOMLDecodeError, or Python's for a number of thousands of digits
            raise self._bad_toml(str(error), text) from None
        self.text = text
        self.lines = _lines_of(text)

    def _bad_toml(self, problem: str, text: str) -> RobustcheckError:
        found = re.search(r"\(at line (\d+), column (\d+)\)", problem)
        line = int(found.group(1)) if found else text.count("\n") + 1
        if "overwrite" in problem or "twice" in problem:
            problem = f"this name is given twice: {problem}"
        return RobustcheckError(f"{self.path}:{line}: {problem}")

    def error(self, problem: object, *key: str) -> RobustcheckError:
        return RobustcheckError(f"{self.path}:{self.line_of(key)}: {problem}")

    def line_of(self, key: Sequence[str]) -> int:
        """Return the line of a key, or of the table that it is in."""
        found = (self.lines.get(tuple(key[:end])) for end in range(len(key), 0, -1))
        return next(filter(None, found), 1)

    def file(self) -> ClaimFile:
        shared = self.shared()
        family = cast("Family", shared.pop("family", "none"))
        defaults = ClaimSettings(**shared)
        declared = self.content.get("claims")
        if not isinstance(declared, dict) or not declared:
            raise self.error('no claims: write [claims], and below it name = "accuracy(x) >= 0.5"', "claims")
        claims = tuple(self.claim(name, value, defaults, family) for name, value in declared.items())
        return ClaimFile(claims, family)

    def shared(self) -> dict[str, Any]:
        """Return the settings of the whole file, from above the tables or from [robustcheck]."""
        top = {key: value for key, value in self.content.items() if key not in {"claims", "robustcheck"}}
        table = self.content.get("robustcheck", {})
        if not isinstance(table, dict):
            raise self.error("[robustcheck] must be a table of settings", "robustcheck")
        for key in table:
            if key in top:
                raise self.error(
                    f"{key} is set twice: above the tables, and in [robustcheck]", "robustcheck", key
                )
        for key, value in top.items():
            self.check_place(key, value)
        top = {key: self.setting(key, value, SHARED, (key,)) for key, value in top.items()}
        return top | {
            key: self.setting(key, value, SHARED, ("robustcheck", key)) for key, value in table.items()
        }

    def check_place(self, key: str, value: object) -> None:
        """Raise `RobustcheckError` for a table that is none of ours, and for a claim above [claims]."""
        if isinstance(value, dict):
            raise self.error(unknown("table", key, ("claims", "robustcheck")), key)
        if key not in SHARED and isinstance(value, str) and re.search(r"[<>]", value):
            raise self.error(f"{key} is a claim: write it below [claims]", key)

    def setting(self, name: str, value: object, allowed: tuple[str, ...], key: tuple[str, ...]) -> object:
        if name not in allowed:
            raise self.error(unknown("setting", name, allowed), *key)
        is_word = name in WORDS
        if not is_word and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.error(f"{name} must be a number, got {value!r}", *key)
        try:
            check_setting(name, value)
        except RobustcheckError as error:
            raise self.error(error, *key) from None
        return value if is_word else float(cast("float", value))

    def claim(self, name: str, value: object, defaults: ClaimSettings, family: Family) -> DeclaredClaim:
        key = ("claims", name)
        if not name.strip() or printable(name) != name or "::" in name:
            raise self.error(
                f"a claim's name must be printable text without '::' (it selects the test), got {name!r}",
                *key,
            )
        if isinstance(value, Mapping):
            text, settings = self.table(name, value, defaults, family)
        else:
            text, settings = value, defaults
        if not isinstance(text, str):
            raise self.error(f'claim {name!r} must be text such as "accuracy(x) >= 0.5", got {text!r}', *key)
        if name in SHARED and text in WORDS.get(name, ()):
            raise self.error(f"{name} is a setting: write it above [claims]", *key)
        try:
            return DeclaredClaim(name, text, parse_claim(text), self.line_of(key), settings)
        except RobustcheckError as error:
            raise self.error(f"claim {name!r}: {error}", *key) from None

    def table(
        self, name: str, table: Mapping[str, object], defaults: ClaimSettings, family: Family
    ) -> tuple[object, ClaimSettings]:
        """Return the text and the settings of a claim that is a table."""
        key = ("claims", name)
        if "claim" not in table:
            raise self.error(f'claim {name!r} has no text: write claim = "accuracy(x) >= 0.5"', *key)
        own = {
            setting: self.setting(setting, value, (*OWN, "claim"), (*key, setting))
            for setting, value in table.items()
            if setting != "claim"
        }
        if family == "holm" and "alpha" in own:
            raise self.error(
                "the claims of a Holm family share one alpha: set it for the file", *key, "alpha"
            )
        return table["claim"], replace(defaults, **cast("dict[str, Any]", own))


def _lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Return the lines at which keys such as `("claims", "name")`, and the tables that they are in, first stand."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = path = _keys(header[1])
        elif assignment := _ASSIGNMENT.match(line):
            path = table + _keys(assignment[1])
        else:
            continue
        for end in range(1, min(len(path), _DEEPEST_KEY) + 1):
            lines.setdefault(path[:end], number)
    return lines


def _keys(text: str) -> tuple[str, ...]:
    """Return the parts of a dotted key, without their quotes."""
    return tuple(_unquoted(part) for part in re.findall(_KEY, text))


def _unquoted(part: str) -> str:
    try:
        return str(json.loads(part)) if part[0] == '"' else part.strip("'")
    except ValueError:  # an escape that is TOML's alone
        return part[1:-1]
