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
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from robustcheck.claims.claim import Claim
from robustcheck.claims.parser import parse_claim
from robustcheck.claims.policy import WORDS, ClaimSettings, check_setting
from robustcheck.errors import RobustcheckError, unknown

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it
    import tomli as tomllib

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


_OWN = ("alpha", "tolerance", "about", "on_undecided")
_SHARED = (*_OWN, "family")


def read_claims(path: Path | str) -> ClaimFile:
    """Return the claims that a `robustcheck.toml` declares.

    Raises `RobustcheckError` that names the file and the line, for bad TOML and for everything in it that is no
    claim or setting.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise RobustcheckError(f"{path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise RobustcheckError(
            f"{path}:1: a TOML file must be UTF-8, got byte {error.object[error.start]:#x}"
        ) from None
    return _Reader(path, text).file()


class _Reader:
    """One file: its tables, and the line of each key for the messages."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        try:
            self.content: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise self._bad_toml(str(error), text) from None
        self.text = text

    def _bad_toml(self, problem: str, text: str) -> RobustcheckError:
        found = re.search(r"\(at line (\d+), column (\d+)\)", problem)
        line = int(found.group(1)) if found else text.count("\n") + 1
        if "overwrite" in problem or "twice" in problem:
            problem = f"this name is given twice: {problem}"
        return RobustcheckError(f"{self.path}:{line}: {problem}")

    def error(self, problem: object, *key: str) -> RobustcheckError:
        return RobustcheckError(f"{self.path}:{_line_of(self.text, key)}: {problem}")

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
        top = {key: self.setting(key, value, _SHARED, (key,)) for key, value in top.items()}
        return top | {
            key: self.setting(key, value, _SHARED, ("robustcheck", key)) for key, value in table.items()
        }

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
        if not name.strip() or not name.isprintable() or "::" in name:
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
        if name in _SHARED and text in WORDS.get(name, ()):
            raise self.error(f"{name} is a setting: write it above [claims]", *key)
        try:
            return DeclaredClaim(name, text, parse_claim(text), _line_of(self.text, key), settings)
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
            setting: self.setting(setting, value, (*_OWN, "claim"), (*key, setting))
            for setting, value in table.items()
            if setting != "claim"
        }
        if family == "holm" and "alpha" in own:
            raise self.error(
                "the claims of a Holm family share one alpha: set it for the file", *key, "alpha"
            )
        return table["claim"], replace(defaults, **cast("dict[str, Any]", own))


def _line_of(text: str, path: Sequence[str]) -> int:
    """Return the line of a key such as `("claims", "name")`, or of the table that it is in."""
    start, end = 0, len(text)
    for key in path:
        bare = re.fullmatch(r"[A-Za-z0-9_-]+", key)
        spellings = ([key] if bare else []) + [json.dumps(key, ensure_ascii=False), f"'{key}'"]
        name = "|".join(map(re.escape, spellings))
        header = rf"\[+(?:[^\]\n]*\.)?[ \t]*(?:{name})[ \t]*[\].]"
        assignment = rf"(?:[^\[\n=#]*\.)?[ \t]*(?:{name})[ \t]*[.=]"
        found = re.compile(rf"^[ \t]*(?:{header}|{assignment})", re.MULTILINE).search(text, start, end)
        if found is None:
            break
        start = found.start()
        if (
            key != "claims"
        ):  # what belongs to a claim, or to a table of settings, stands before the next header
            after = re.compile(r"^[ \t]*\[", re.MULTILINE).search(text, found.end())
            end = after.start() if after else end
    return text.count("\n", 0, start) + 1
