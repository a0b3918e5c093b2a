"""Workers of pytest-xdist: what the controller tells them, and how they share a machine.

All workers of a run know one folder of that run. In it are the locks by which each shard is computed by one of them,
and the records where the user keeps none.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

_KEY = "robustcheck_run"
_FOLDER = pytest.StashKey[tuple[Path, float]]()
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Where a user says how many threads torch is to use."""


@dataclass(frozen=True)
class Worker:
    """One of the processes among which pytest-xdist shares the tests of a run."""

    number: int
    count: int
    folder: Path
    """The run's own; the controller removes it at the end."""
    began: float
    """When the run began, in seconds since 1970."""

    @classmethod
    def of(cls, config: pytest.Config) -> Worker | None:
        """Return the worker that this process is; None where it is none, or on another machine than the controller."""
        given = getattr(config, "workerinput", {})
        if _KEY not in given:
            return None
        folder, began = given[_KEY]
        number = int(given["workerid"].removeprefix("gw"))
        return cls(number, given["workercount"], Path(folder), began)

    def device(self, asked: str) -> str:
        """Return the device to use: of several GPUs, where none is named, the one whose turn it is."""
        if asked != "auto":
            return asked
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return f"cuda:{self.number % count}" if count > 1 else asked

    def share_cores(self) -> None:
        """Have torch use this worker's share of the cores, unless it uses fewer or the environment says how many."""
        import torch

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = max(1, cores // self.count)
        if not any(map(os.environ.get, THREADS)) and torch.get_num_threads() > share:
            torch.set_num_threads(share)


def tell(node: Any, config: pytest.Config) -> None:
    """Tell a worker that is about to start of the run's folder, which is made for the first, on this machine."""
    if not node.gateway.spec.popen:
        return
    if _FOLDER not in config.stash:
        folder = Path(tempfile.mkdtemp(prefix="robustcheck-"))
        config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))
        config.stash[_FOLDER] = folder, time.time()
    folder, began = config.stash[_FOLDER]
    node.workerinput[_KEY] = str(folder), began
