"""An option of the command line, which is an ini key as well: its row, and its value in a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from robustcheck.text import printable_lines


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
    def attribute(self) -> str:
        """The option's field of `Settings`."""
        return self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        """The option as it is written on the command line."""
        return f"--robustcheck-{self.name}"

    @property
    def key(self) -> str:
        """The option as it is written in the ini file."""
        return f"robustcheck_{self.attribute}"

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
            written, text = self.key, self._in_ini(config)
        if text is None or isinstance(text, bool):
            return default if text is None else text
        if not str(text).strip():
            raise pytest.UsageError(f"{written} is empty: give a value, or leave it out")
        folder = None
        if self.path and text not in self.words:
            if written == self.key and config.inipath is not None:
                folder = config.inipath.parent
            elif self.path == "output":  # tests may change the directory
                folder = config.invocation_params.dir
        try:
            value = self.parse(str(text))
            return value if folder is None else self.parse(self._anchored(folder, str(text)))
        except ValueError as error:
            raise pytest.UsageError(printable_lines(f"{written}: {error}")) from None

    def _in_ini(self, config: pytest.Config) -> str | bool | None:
        """Return what the ini file says, as text; a native table of TOML may have numbers and lists."""
        try:
            value = config.getini(self.key)
        except (TypeError, pytest.UsageError):  # pytest takes no number for a text there
            found = config._inicfg[self.key]  # noqa: SLF001 - there is no public way
            value = getattr(found, "value", found)
        if self.metavar is None and not isinstance(value, bool):
            quoted = ": write it without quotes" if str(value) in {"true", "false"} else ""
            raise pytest.UsageError(
                printable_lines(f"{self.key}: must be true or false, got {value!r}{quoted}")
            )
        if isinstance(value, list) and self.is_list and all(isinstance(each, str) for each in value):
            return ",".join(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is None or isinstance(value, str) or is_number or self.metavar is None:
            return value if value is None or self.metavar is None else str(value)
        kind = "a text or a list of texts" if self.is_list else "a text or a number"
        raise pytest.UsageError(printable_lines(f"{self.key}: must be {kind}, got {value!r}"))

    @property
    def is_list(self) -> bool:
        """Whether the value is a list, its items between commas."""
        return self.metavar is not None and self.metavar.endswith(",...")

    def _anchored(self, folder: Path, text: str) -> str:
        return str(folder / Path(text).expanduser()) if self.path == "output" else anchored(text, folder)


def anchored(text: str, folder: Path) -> str:
    """Return what an option names as seen from anywhere: an existing path from `folder`, with its prefix (`hf:`) and its part
    of a file (`#KEY`), becomes absolute; other texts stay as they are.
    """
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
