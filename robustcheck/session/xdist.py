"""Workers of pytest-xdist: what the controller gives them, how they share a machine, and what they send back.

All workers of a run know one folder of that run. It holds the locks by which each shard is computed by one of them,
and the records if the user keeps none. Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from robustcheck.session import results
from robustcheck.system import usable_cores

if TYPE_CHECKING:
    from robustcheck.session.session import Session

RESULTS = "robustcheck"
"""The key under which a worker sends its results."""
_KEY = "robustcheck_run"
_FOLDER = pytest.StashKey[tuple[Path, str]]()
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which a user sets torch's number of threads."""


@dataclass(frozen=True)
class Worker:
    """One of the processes among which pytest-xdist shares the tests of a run."""

    number: int
    count: int
    folder: Path
    """The run's own; the controller removes it at the end."""
    run_id: str
    """The same for all workers of a run."""

    @classmethod
    def of(cls, config: pytest.Config) -> Worker | None:
        """Return the worker that this process is; None if it is none, or not on the controller's machine."""
        given = getattr(config, "workerinput", {})
        if _KEY not in given:
            return None
        folder, run_id, number = given[_KEY]
        return cls(number, given["workercount"], Path(folder), run_id)

    def device(self, asked: str) -> str:
        """Return the device to use: if none is named and there are several GPUs, they are taken in turn."""
        if asked != "auto":
            return asked
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return f"cuda:{self.number % count}" if count > 1 else asked

    def share_cores(self) -> None:
        """Let torch use this worker's share of the cores, unless it uses fewer or the environment sets a number."""
        import torch

        share = max(1, usable_cores() // self.count)
        if not any(map(os.environ.get, THREADS)) and torch.get_num_threads() > share:
            torch.set_num_threads(share)


class Controller:
    """A plugin of pytest, registered for each run: the hooks of pytest-xdist in the process that starts the workers."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._started = 0
        """Number of workers started on this machine: their ids may be any text."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker that is about to start the run's folder, if it is on this machine; made for the first."""
        config = node.config
        if not node.gateway.spec.popen:
            return
        if _FOLDER not in config.stash:
            folder = Path(tempfile.mkdtemp(prefix="robustcheck-"))
            config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))
            config.stash[_FOLDER] = folder, uuid4().hex
        folder, run_id = config.stash[_FOLDER]
        node.workerinput[_KEY] = str(folder), run_id, self._started
        self._started += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Note the order of the tests, which is that of a serial run."""
        self._session.log.position.update({test: at for at, test in enumerate(ids)})

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the results of a worker; one that died has sent none."""
        sent = getattr(node, "workeroutput", {}).get(RESULTS)
        if sent is None:
            self._session.lost_workers += 1
        else:
            results.add(self._session, sent)
