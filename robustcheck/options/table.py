"""What the command line and the ini file say, checked and frozen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pytest

from robustcheck.byte_size import read_size
from robustcheck.errors import unknown
from robustcheck.options import types as option_values
from robustcheck.options.workers import WorkerOptions, read_worker_options
from robustcheck.specs import IMAGE_SOURCES, MODEL_SOURCES, forms

SUITES = ("jpeg-study", "sanity")
_GROUP = "robustcheck"


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
    is_output: bool = False
    """It is a path, whether or not anything is there yet."""
    format: str = ""
    """The module of `robustcheck.report.formats` that writes the report it asks for."""
    words: Mapping[str, Any] = field(default_factory=dict)
    """What it may be that is no path, and what each stands for."""

    @property
    def flag(self) -> str:
        """The option as it is written on the command line."""
        return f"--robustcheck-{self.name}"

    @property
    def key(self) -> str:
        """The option as it is written in the ini file."""
        return f"robustcheck_{self.name.replace('-', '_')}"


OPTIONS = (
    Option(
        "model",
        "SPEC",
        f"classifier: {forms(MODEL_SOURCES)}",
    ),
    Option(
        "weights",
        "PATH",
        "weights for the model: safetensors, or a checkpoint that loads weights-only (PATH#KEY for one in it)",
        is_path=True,
    ),
    Option(
        "images",
        "SPEC",
        f"images: {forms(IMAGE_SOURCES)}",
        is_path=True,
    ),
    Option(
        "bad-images",
        "error|skip",
        "images that can't be read: name them and stop, or leave them out and count them (default: error)",
        option_values.one_of("error", "skip"),
        "error",
    ),
    Option("limit", "N", "take N of the images, a seeded random subset", option_values.whole(1)),
    Option("stratify", None, "with a limit: take of each class its share", default=False),
    Option(
        "batch-size",
        "N|auto",
        "images that the model gets at once; auto: as many as make it fastest here (default: by device)",
        option_values.batch_size,
    ),
    Option("device", "auto|cpu|cuda[:i]", "where to compute (default: auto)", default="auto"),
    Option(
        "precision",
        "NAME",
        "arithmetic: fp32, tf32 (CUDA), or bf16 or fp16 for classification with attacks in fp32 (default: fp32)",
        option_values.one_of("fp32", "tf32", "bf16", "fp16"),
        "fp32",
    ),
    Option(
        "optimize",
        "none|fold|compile",
        "the network as it is, with batch normalisations folded into convolutions, or compiled as well (default: fold)",
        option_values.one_of("none", "fold", "compile"),
        "fold",
    ),
    Option("seed", "N", "master seed of all that is random (default: 0)", option_values.whole(0), 0),
    Option("suite", "NAME", f"run a suite that ships: {', '.join(SUITES)}", option_values.one_of(*SUITES)),
    Option(
        "findings",
        "report|gate",
        "what to do when a finding of the paper does not hold: report it, or fail (default: report)",
        option_values.one_of("report", "gate"),
        "report",
    ),
    Option(
        "stop-early", None, "draw images only until each claim is decided, at the error alpha", default=False
    ),
    Option(
        "alpha",
        "0.05",
        "chance that a claim passes that is false, when stopping early",
        option_values.share,
        0.05,
    ),
    Option(
        "budget", "N", "evaluate at most N images for a claim, when stopping early", option_values.whole(1)
    ),
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
    Option(
        "report",
        "PATH.html",
        "write the run as one self-contained page",
        option_values.path(".html", ".htm"),
        is_output=True,
        format="html",
    ),
    Option(
        "json", "PATH", "write the run as data, by a versioned schema", Path, is_output=True, format="json"
    ),
    Option(
        "records",
        "PATH",
        "write the records image by image: PATH.csv or PATH.parquet",
        option_values.path(".csv", ".parquet"),
        is_output=True,
        format="records",
    ),
    Option(
        "artifacts",
        "DIR",
        "write the images of a failing claim, their records and how to reproduce it",
        Path,
        is_output=True,
    ),
    Option(
        "store",
        "DIR|off",
        "keep records in a folder and take from it those that are there (default: pytest's cache folder)",
        is_output=True,
        words={"off": "off"},
    ),
    Option(
        "store-limit",
        "SIZE",
        "how large the store may be, such as 500M: what was not used for longest is taken away (default: 1G)",
        read_size,
        10**9,
    ),
    Option(
        "refresh", None, "take no records from the store: compute them anew and replace them", default=False
    ),
    Option(
        "workers",
        "ray[:ADDRESS]",
        "have workers of Ray compute: on this machine, or on the cluster at ADDRESS (auto, HOST:PORT, ray://HOST:PORT)",
        option_values.workers,
    ),
    Option(
        "worker-options",
        "cpus:N,...",
        "what each worker gets, cpus:N (default: 1) and gpus:N, how many there are, count:N, how it gets images, "
        "images:paths or images:pixels, and how records come back, records:sent or records:store",
        read_worker_options,
    ),
    Option(
        "full-paths",
        None,
        "name files outside the rootdir by their whole path in what is written",
        default=False,
    ),
)


def mistyped(arguments: Iterable[str], keys: Iterable[str] = ()) -> str | None:
    """What to say of the first option or ini key that is nearly one of ours; None where all are well."""
    flags, known = {option.flag for option in OPTIONS}, {option.key for option in OPTIONS}
    given = (argument.partition("=")[0] for argument in arguments if argument.startswith("--robustcheck"))
    for name, allowed in (*((flag, flags) for flag in given), *((key, known) for key in keys)):
        if name not in allowed and get_close_matches(name, allowed, n=1, cutoff=0.7):
            return str(unknown("option", name, allowed))
    return None


@dataclass(frozen=True)
class Settings:
    """The options of one pytest run."""

    model: str | None
    weights: str | None
    images: str | None
    bad_images: str
    limit: int | None
    stratify: bool
    batch_size: int | str | None
    device: str
    precision: str
    optimize: str
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
    report: Path | None
    json: Path | None
    records: Path | None
    artifacts: Path | None
    store: str | None
    store_limit: int
    refresh: bool
    workers: str | None
    worker_options: WorkerOptions | None
    full_paths: bool
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


def _beside(folder: Path, text: str) -> str:
    """A path of an ini file, meant from there, with what may stand around it: a prefix, a part of the file."""
    prefix, colon, rest = text.partition(":")
    for before, path in (("", text), (prefix + colon, rest)):
        plain = re.split(r"[?#]", path, maxsplit=1)[0]
        if plain and (folder / plain).exists():
            return f"{before}{folder / path}"
    return text


def _value(config: pytest.Config, option: Option) -> Any:
    written, text = option.flag, config.getoption(option.key)
    if text is None:
        written, text = option.key, config.getini(option.key)
    if text is None or isinstance(text, bool):
        return option.default if text is None else text
    if not str(text).strip():
        raise pytest.UsageError(f"{written} is empty: give a value, or leave it out")
    if text in option.words:
        return option.words[text]
    if (option.is_path or option.is_output) and written == option.key and config.inipath is not None:
        folder = config.inipath.parent
        text = folder / Path(str(text)).expanduser() if option.is_output else _beside(folder, str(text))
    try:
        return option.read(str(text))
    except ValueError as error:
        raise pytest.UsageError(f"{written}={text}: {error}") from None
