"""The table of options: a row is a field of `Settings`, from which command line, help, docs and the rest derive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path

import pytest

from robustcheck.byte_size import parse_size
from robustcheck.errors import unknown
from robustcheck.limits import described, parse_limits
from robustcheck.options.option import Option, flag, option
from robustcheck.options.types import (
    age,
    batch_size,
    draw_value,
    file_path,
    integer,
    one_of,
    probability,
    seconds,
    share,
    spin_count,
    transfer_models,
)
from robustcheck.options.workers import WorkerOptions, parse_worker_options, ray_address
from robustcheck.specs import IMAGE_SOURCES, MODEL_SOURCES, forms

SUITES = ("jpeg-study", "sanity", "mutation")


@dataclass(frozen=True, eq=False)  # a run has one
class Settings:
    """The options of one pytest run, checked."""

    model: str | None = option("SPEC", str, f"classifier: {forms(MODEL_SOURCES)}", shown_default="sample")
    weights: str | None = option(
        "PATH",
        str,
        "weights for the model: a safetensors file, or a checkpoint that torch loads weights-only (PATH#KEY for one of "
        "several in it)",
        path="input",
    )
    trust_programs: bool = flag(
        "load program:PATH even where that runs code of the file: TorchScript, and archives that can't be checked"
    )
    images: str | None = option(
        "SPEC", str, f"images: {forms(IMAGE_SOURCES)}", shown_default="sample", path="input"
    )
    bad_images: str = option(
        "error|skip",
        one_of("error", "skip"),
        "images that cannot be read: list them and stop, or skip and count them",
        "error",
    )
    limit: int | None = option("N", integer(1), "use N of the images, a seeded random subset")
    stratify: bool = flag("with --robustcheck-limit: sample every class in proportion")
    input_limits: Mapping[str, int] | None = option(
        "NAME:N,...",
        parse_limits,
        f"limits on the size of input data, comma-separated: {described()}",
    )
    batch_size: int | str | None = option(
        "N|auto",
        batch_size,
        "batch size; auto benchmarks several sizes and keeps the fastest",
        shown_default="by device",
    )
    spin_count: int | None = option(
        "N|off",
        spin_count,
        "turns that idle OpenMP threads of torch spin before they sleep (GOMP_SPINCOUNT), unless the environment says: few, "
        "for cores that are shared; off leaves libgomp's default",
        "3000",
        affects_results=False,
    )
    device: str = option("auto|cpu|cuda[:i]", str, "device to compute on", "auto")
    precision: str = option(
        "NAME",
        one_of("fp32", "tf32", "bf16", "fp16"),
        "arithmetic: fp32, tf32 (CUDA), or bf16 or fp16 for classification with attacks in fp32",
        "fp32",
    )
    optimize: str = option(
        "none|fold|compile",
        one_of("none", "fold", "compile"),
        "run the network as it is, with batch normalisation folded into convolutions, or folded and compiled",
        "fold",
    )
    seed: int = option("N", integer(0), "seed for every random choice", "0")
    suite: str | None = option("NAME", one_of(*SUITES), f"run a suite that ships: {', '.join(SUITES)}")
    findings: str = option(
        "report|gate",
        one_of("report", "gate"),
        "a finding of the paper that does not hold is reported, or fails",
        "report",
    )
    mutation_score: float | None = option(
        "PERCENT",
        share,
        "with --robustcheck-suite=mutation: minimum share of the faults that the run's claims notice, in percent",
        affects_results=False,
    )
    stop_early: bool = flag("draw images only until each claim is decided, at the error alpha")
    alpha: float = option(
        "P",
        probability,
        "with --robustcheck-stop-early: maximum probability that a false claim passes",
        "0.05",
    )
    budget: int | None = option(
        "N", integer(1), "with --robustcheck-stop-early: maximum number of images per claim"
    )
    min_images: int = option(
        "N", integer(0), "with --robustcheck-stop-early: minimum number of images per claim", "0"
    )
    assist: str = option(
        "auto|off",
        one_of("auto", "off"),
        "with --robustcheck-stop-early and --robustcheck-compare: the baseline's records help to decide claims, or not",
        "auto",
    )
    draw: str | None = option(
        "TEXT",
        draw_value,
        "with an assisted run: draw images in the order of the run that reported this value",
        shown_default="a fresh value",
    )
    forecast: bool = flag(
        "evaluate a pilot of 64 images, tell how many images each claim likely needs and how long the run takes, and end: no "
        "claim is judged",
        affects_results=False,
    )
    require_adaptive: bool = flag(
        "claims about a defended view must also hold against attacks that go through the defence"
    )
    require_tested_attacks: bool = flag(
        "each attack that the run's claims name must find the adversarial examples that are planted for it"
    )
    transfer: Mapping[str, str] | None = option(
        "[NAME=]SPEC,...",
        transfer_models,
        "other models with the same classes, which views name as from=NAME; the sanity suite transfers attacks from the "
        "first",
    )
    timeout: float | None = option(
        "SECONDS",
        seconds,
        "maximum time of each evaluation; pytest-timeout's limit does not count it",
        affects_results=False,
    )
    save: str | None = option(
        "NAME", str, "save this run's records as the baseline NAME", affects_results=False
    )
    save_anyway: str | None = option(
        "REASON",
        str,
        "with --robustcheck-save: replace a baseline that has views or images which this run lacks; the reason is kept in "
        "the file",
        affects_results=False,
    )
    compare: str | None = option("NAME|PATH", str, "compare with the records of a saved baseline")
    baseline_age: timedelta = option(
        "30d",
        age,
        "with --robustcheck-compare: note a baseline that is older, in days (30d) or weeks (4w)",
        "30d",
        affects_results=False,
    )
    report: Path | None = option(
        "PATH.html",
        file_path(".html", ".htm"),
        "write the run as one self-contained page",
        affects_results=False,
        path="output",
        format="html",
    )
    json: Path | None = option(
        "PATH",
        Path,
        "write the run as JSON, by a versioned schema",
        affects_results=False,
        path="output",
        format="json",
    )
    records: Path | None = option(
        "PATH",
        file_path(".csv", ".parquet"),
        "write the records image by image: PATH.csv or PATH.parquet",
        affects_results=False,
        path="output",
        format="records",
    )
    sarif: Path | None = option(
        "PATH",
        Path,
        "write the claims that failed as SARIF, for GitHub's code scanning and editors",
        affects_results=False,
        path="output",
        format="sarif",
    )
    code_quality: Path | None = option(
        "PATH",
        Path,
        "write the claims that failed as GitLab's code quality report",
        affects_results=False,
        path="output",
        format="code_quality",
    )
    artifacts: Path | None = option(
        "DIR",
        Path,
        "for each claim that fails: write its images, their records and the command that reproduces it",
        affects_results=False,
        path="output",
    )
    store: str | None = option(
        "DIR|off",
        str,
        "directory for cached records, or off",
        shown_default="in pytest's cache directory",
        affects_results=False,
        path="output",
        words=("off",),
    )
    store_limit: int = option(
        "SIZE",
        parse_size,
        "maximum size of the record store, such as 500M; the least recently used records are removed",
        "1G",
        affects_results=False,
    )
    refresh: bool = flag("ignore cached records: compute them again and replace them", affects_results=False)
    workers: str | None = option(
        "ray[:ADDRESS]",
        ray_address,
        "compute on Ray workers: on this machine, or on the cluster at ADDRESS (auto, HOST:PORT, ray://HOST:PORT)",
        affects_results=False,
    )
    worker_options: WorkerOptions | None = option(
        "cpus:N,...",
        parse_worker_options,
        "options of Ray workers, comma-separated: count:N, cpus:N each (default: 1), gpus:N each, images:paths or "
        "images:pixels (how they get images), records:sent or records:store (how records come back)",
        affects_results=False,
    )
    full_paths: bool = flag("write absolute paths for files outside the rootdir", affects_results=False)

    typed: Mapping[str, str] = field(default_factory=dict)
    """What the command line says, by the names of options; "" for a flag."""

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Return the settings of a run; raises `pytest.UsageError` for a value that is not allowed."""
        default = cls()
        names = {row: row.attribute for row in OPTIONS}
        values = {name: row.value(config, getattr(default, name)) for row, name in names.items()}
        typed = {row.name: text for row in OPTIONS if (text := row.typed(config)) is not None}
        return cls(**values, typed=typed)

    def arguments(self) -> list[str]:
        """Return the options of the command line that affect results, as they were typed."""
        typed = ((row, self.typed[row.name]) for row in OPTIONS if row.name in self.typed)
        return [f"{row.flag}={text}" if text else row.flag for row, text in typed if row.affects_results]


OPTIONS: tuple[Option, ...] = tuple(
    replace(row.metadata["option"], name=row.name.replace("_", "-"))
    for row in fields(Settings)
    if "option" in row.metadata
)
"""The rows, in the order of the help."""


def add_options(parser: pytest.Parser) -> None:
    """Declare the options and their ini keys."""
    group = parser.getgroup("robustcheck", "robustness of an image classifier")
    for row in OPTIONS:
        row.declare(parser, group)


def misspelt(arguments: Iterable[str], keys: Iterable[str] = ()) -> str | None:
    """Return a message for the first option or ini key that is nearly one of ours; None if there is none."""
    flags, known = {row.flag for row in OPTIONS}, {row.key for row in OPTIONS}
    given = (argument.partition("=")[0] for argument in arguments if argument.startswith("--robustcheck"))
    for name, allowed in (*((name, flags) for name in given), *((key, known) for key in keys)):
        if name not in allowed and get_close_matches(name, allowed, n=1, cutoff=0.7):
            return str(unknown("option", name, allowed))
    return None
