"""An option of the command line, which is an ini key as well: its row, and its value in a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest


@dataclass(frozen=True, eq=False)
class Option:
    """A row of the table: `--robustcheck-NAME`, which is the ini key `robustcheck_NAME` as well."""

    metavar: str | None
    """None for a flag."""
    parse: Callable[[str], Any]
    """Raises ValueError that says what is allowed and what was given."""
    help: str
    default: str | None = None
    """As it would be typed."""
    shown_default: str | None = None
    """What holds where nothing is typed, if it can't be typed."""
    affects_results: bool = True
    """Whether the numbers or verdicts of a run depend on it."""
    path: Literal["input", "output"] | None = None
    """Whether it names a file or folder: a relative one in an ini file is meant from there. What an input names may be
    something else, such as a prefix and a path, or a name."""
    format: str = ""
    """The module of `robustcheck.report.formats` that writes the report it asks for."""
    words: tuple[str, ...] = ()
    """Values that are not a path."""
    name: str = ""

    @property
    def flag(self) -> str:
        """The option as it is written on the command line."""
        return f"--robustcheck-{self.name}"

    @property
    def key(self) -> str:
        """The option as it is written in the ini file."""
        return f"robustcheck_{self.name.replace('-', '_')}"

    @property
    def help_with_default(self) -> str:
        """The help, ending in the default if there is any."""
        default = self.default or self.shown_default
        return self.help if default is None else f"{self.help} (default: {default})"

    def declare(self, parser: pytest.Parser, group: pytest.OptionGroup) -> None:
        """Add the option to the command line, and its key to the ini file."""
        text = self.help_with_default
        if self.metavar is None:
            group.addoption(self.flag, dest=self.key, action="store_true", default=None, help=text)
            parser.addini(self.key, text, type="bool", default=False)
        else:
            group.addoption(self.flag, dest=self.key, metavar=self.metavar, default=None, help=text)
            parser.addini(self.key, text, default=None)

    def typed(self, config: pytest.Config) -> str | None:
        """Return what the command line says, "" for a flag; None if it does not name the option."""
        text = config.getoption(self.key)
        return None if text is None else "" if self.metavar is None else str(text)

    def value(self, config: pytest.Config, default: Any) -> Any:
        """Return the value in a run; raises `pytest.UsageError` for one that is not allowed."""
        written, text = self.flag, config.getoption(self.key)
        if text is None:
            written, text = self.key, config.getini(self.key)
        if text is None or isinstance(text, bool):
            return default if text is None else text
        if not str(text).strip():
            raise pytest.UsageError(f"{written} is empty: give a value, or leave it out")
        if self.path and text not in self.words and written == self.key and config.inipath is not None:
            text = self._beside(config.inipath.parent, str(text))
        try:
            return self.parse(str(text))
        except ValueError as error:
            raise pytest.UsageError(f"{written}: {error}") from None

    def _beside(self, folder: Path, text: str) -> str:
        """Return a path of an ini file as seen from anywhere, with its prefix (`hf:`) and its part of a file (`#KEY`)."""
        if self.path == "output":
            return str(folder / Path(text).expanduser())
        prefix, colon, rest = text.partition(":")
        for before, path in (("", text), (prefix + colon, rest)):
            plain = re.split(r"[?#]", path, maxsplit=1)[0]
            if plain and (folder / plain).exists():
                return f"{before}{folder / path}"
        return text


def option(
    metavar: str,
    parse: Callable[[str], Any],
    help: str,  # noqa: A002 - its name in argparse and pytest
    default: str | None = None,
    **facts: Any,
) -> Any:
    """Return the field of a dataclass that is an option with a value; `facts` are other columns of `Option`."""
    row = Option(metavar, parse, help, default, **facts)
    return field(default=None if default is None else parse(default), metadata={"option": row})


def flag(help: str, **facts: Any) -> bool:  # noqa: A002
    """Return the field of a dataclass that is an option without a value."""
    return field(default=False, metadata={"option": Option(None, bool, help, **facts)})
