"""Runs steps one after the other, each in a process of its own that is ended at its limit.

A step is a function of a module, given a `Job`. What it logs is in a file as it goes, so what it had measured is kept
if it is cut or crashes, and the results are rewritten while it runs. Processes are forked off a server that has
imported the libraries and never touches the device.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gpu import report
from tests.gpu.results import Log, Result, Skip

PRELOAD = ("torch", "torchvision", "numpy", "PIL.Image")
LEAST = 3.0
"""Seconds without which a step is not begun."""


@dataclass(frozen=True)
class Step:
    """What to run, `module:function`, and its weight: of the time left, a step gets its share by weight."""

    key: str
    title: str
    target: str
    weight: float


@dataclass(frozen=True)
class Job:
    """What a step is given. What loops until time is up ends at `deadline`, a little before the step is cut."""

    log: Log
    device: str
    toy: bool
    deadline: float

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self.deadline


@dataclass(frozen=True)
class Options:
    """What each process has to know."""

    device: str = ""
    """Where to run: empty for CUDA where it is, else the CPU."""
    toy: bool = False
    paths: tuple[str, ...] = ()
    """What is put before the module search path: unpacked wheels."""


def run(
    steps: Sequence[Step],
    folder: Path,
    *,
    seconds: float,
    options: Options,
    about: dict[str, Any],
    preload: Sequence[str] = PRELOAD,
) -> list[Result]:
    """Run the steps in `seconds`, with a line on the terminal for each, results in `folder` at any time."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    results = [Result(step.key, step.title) for step in steps]
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as logs, (folder / "output.txt").open("a") as output:
        output.truncate(0)
        for index, (step, result) in enumerate(zip(steps, results, strict=True)):
            left = end - time.monotonic()
            if left < LEAST:
                result.status, result.reason = "cut", "no time was left"
            else:
                limit = left * step.weight / sum(later.weight for later in steps[index:])
                running = _Running(step, result, Path(logs, step.key), max(limit, LEAST))
                running.run(context, options, output, lambda: report.write(folder, results, about))
            report.write(folder, results, about)
            sys.stdout.write(f"{report.line(result)}\n")
            sys.stdout.flush()
    return results


@dataclass
class _Running:
    step: Step
    result: Result
    path: Path
    limit: float

    def run(self, context: Any, options: Options, output: Any, changed: Any) -> None:
        """Run the step to its end or its limit."""
        result, start = self.result, time.monotonic()
        result.status = "running"
        output.write(f"({self.step.key}) {self.step.title}\n")
        output.flush()
        process = context.Process(
            target=_in_process,
            args=(self.step.target, str(self.path), output.name, options, self.limit),
        )
        try:
            process.start()
            size = -1
            while process.is_alive() and time.monotonic() < start + self.limit:
                process.join(0.2)
                result.seconds = time.monotonic() - start
                if self.path.exists() and self.path.stat().st_size != size:
                    size = self.path.stat().st_size
                    result.read(self.path)
                    changed()
            was_cut = process.is_alive()
        finally:
            _end(process)
        result.seconds = time.monotonic() - start
        said = result.read(self.path)
        result.status = said or ("cut" if was_cut else "error")
        if not said:
            result.reason = f"cut at {self.limit:.0f} s" if was_cut else f"exit status {process.exitcode}"
        if result.has_failed_check:
            result.status = "failed"


def _end(process: Any) -> None:
    """End a step's process and all that it started."""
    if process.pid is None or not process.is_alive():
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # it may not have come to lead a group
    process.join(5)


def _in_process(target: str, path: str, output: str, options: Options, limit: float) -> None:
    os.setsid()
    log = Log(Path(path))
    with open(output, "a") as file:  # noqa: PTH123
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    try:
        _call(target, log, options, limit)
    except Skip as skip:
        log.end("skipped", str(skip))
    except BaseException as error:  # noqa: BLE001 - whatever it was, the next step is run
        traceback.print_exc()
        log.end("error", f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}")
    else:
        log.end("ok", "")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # what a library does at its end can't change what was found


def _call(target: str, log: Log, options: Options, limit: float) -> None:
    deadline = time.monotonic() + 0.85 * limit
    sys.path[:0] = options.paths
    device = options.device or _best_device()
    if device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"  # before anything imports triton
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)  # toy sizes gain nothing by threads that wait for each other
    module, _, function = target.partition(":")
    job = Job(log, device, options.toy or device == "cpu", deadline)
    log.where(f"{device}, toy size" if job.toy else device)
    getattr(importlib.import_module(module), function)(job)


def _best_device() -> str:
    import torch  # here, since the process that starts steps does without

    return "cuda" if torch.cuda.is_available() else "cpu"
