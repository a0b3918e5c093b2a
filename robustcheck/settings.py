"""What the command line and the ini file say, checked and frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from robustcheck.errors import unknown

SUITES = ("jpeg-study", "sanity")
_GROUP = "robustcheck"


def _whole(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < low:
            raise ValueError(f"it is a whole number from {low} up")
        return int(text)

    return read


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise ValueError("it is a number between 0 and 1, such as 0.05")
    return value


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise unknown("value", text, words)
        return text

    return read


@dataclass(frozen=True)
class Option:
    """One option, `--robustcheck-NAME`, which is the ini key `robustcheck_NAME` as well."""

    name: str
    metavar: str | None
    """None for a flag."""
    help: str
    read: Callable[[str], Any] = str
    default: Any = None
    is_path: bool = False
    """It may be a path, which in an ini file is meant from there."""

    @property
    def flag(self) -> str:
        """The option as it is written on the command line."""
        return f"--robustcheck-{self.name}"

    @property
    def key(self) -> str:
        """The option as it is written in the ini file."""
        return f"robustcheck_{self.name.replace('-', '_')}"


OPTIONS = (
    Option("model", "SPEC", "classifier: a torchvision name, timm:NAME, package.module:callable, sample"),
    Option(
        "weights",
        "PATH",
        "weights for the model: safetensors, or a checkpoint that loads weights-only",
        is_path=True,
    ),
    Option("images", "SPEC", "images: a folder whose sub-folders are the classes, or sample", is_path=True),
    Option("limit", "N", "take N of the images, a seeded random subset", _whole(1)),
    Option("batch-size", "N", "images that the model gets at once (default: by device)", _whole(1)),
    Option("device", "auto|cpu|cuda[:i]", "where to compute (default: auto)", default="auto"),
    Option("seed", "N", "master seed of all that is random (default: 0)", _whole(0), 0),
    Option("suite", "NAME", f"run a suite that ships: {', '.join(SUITES)}", _one_of(*SUITES)),
    Option(
        "findings",
        "report|gate",
        "what to do when a finding of the paper does not hold: report it, or fail (default: report)",
        _one_of("report", "gate"),
        "report",
    ),
    Option(
        "stop-early", None, "draw images only until each claim is decided, at the error alpha", default=False
    ),
    Option("alpha", "0.05", "chance that a claim passes that is false, when stopping early", _share, 0.05),
    Option("budget", "N", "evaluate at most N images for a claim, when stopping early", _whole(1)),
    Option(
        "require-adaptive",
        None,
        "claims of a defended view have to hold against attacks that go through the defence, too",
        default=False,
    ),
    Option(
        "transfer",
        "SPEC",
        "another model that knows the same classes, for the sanity suite to make attacks on",
    ),
    Option("save", "NAME", "save this run's records as the baseline NAME"),
    Option("compare", "NAME|PATH", "compare with the records of a saved baseline"),
)


@dataclass(frozen=True)
class Settings:
    """The options of one pytest run."""

    model: str | None
    weights: str | None
    images: str | None
    limit: int | None
    batch_size: int | None
    device: str
    seed: int
    suite: str | None
    findings: str
    stop_early: bool
    alpha: float
    budget: int | None
    require_adaptive: bool
    transfer: str | None
    save: str | None
    compare: str | None
    on_command_line: frozenset[str]
    """The names of the options that were given there."""

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Return the settings; raises `pytest.UsageError` for a value that is not allowed."""
        values = {option.name.replace("-", "_"): _value(config, option) for option in OPTIONS}
        given = frozenset(option.name for option in OPTIONS if config.getoption(option.key) is not None)
        return cls(**values, on_command_line=given)


def add_options(parser: pytest.Parser) -> None:
    """Declare the options and their ini keys."""
    group = parser.getgroup(_GROUP, "robustness of an image classifier")
    for option in OPTIONS:
        if option.metavar is None:
            group.addoption(option.flag, dest=option.key, action="store_true", default=None, help=option.help)
            parser.addini(option.key, option.help, type="bool", default=option.default)
        else:
            group.addoption(
                option.flag, dest=option.key, metavar=option.metavar, default=None, help=option.help
            )
            parser.addini(option.key, option.help, default=None)


def _value(config: pytest.Config, option: Option) -> Any:
    written, text = option.flag, config.getoption(option.key)
    if text is None:
        written, text = option.key, config.getini(option.key)
    if text is None or isinstance(text, bool):
        return option.default if text is None else text
    if not str(text).strip():
        raise pytest.UsageError(f"{written} is empty: give a value, or leave it out")
    if option.is_path and written == option.key and config.inipath is not None:
        beside = config.inipath.parent / str(text)
        text = beside if beside.exists() else text
    try:
        return option.read(str(text))
    except ValueError as error:
        raise pytest.UsageError(f"{written}={text}: {error}") from None
