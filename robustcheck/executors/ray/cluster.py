"""A cluster of Ray: started on this machine or joined, and how many workers it has room for."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from robustcheck.errors import RobustcheckError
from robustcheck.system import usable_cores
from robustcheck.text import first_line

CPU, GPU = "CPU", "GPU"
_ANSWERS_IN = 5.0
"""Seconds in which a cluster is to answer."""


def import_ray() -> Any:
    """Return the package; raises `RobustcheckError` that says what to install."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
    except ImportError as error:
        raise RobustcheckError(
            f"--robustcheck-workers=ray needs Ray ({error}): pip install 'pytest-robustcheck[ray]'"
        ) from None
    return ray


def join(address: str | None) -> bool:
    """Start Ray on this machine, or join the cluster at an address; return False where it was there already.

    Its log stays in its own files, and what it does to SIGTERM is undone. What it starts here sends no statistics
    of use. Raises `RobustcheckError` where there is no cluster.
    """
    ray = import_ray()
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if address not in {None, "auto", there}:
            raise RobustcheckError(
                f"Ray is in use in this process, at {there}: name that, or leave out {address}"
            )
        return False
    _check_reachable(address)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet |= {"include_dashboard": False, "num_cpus": usable_cores()}
    with suppress_ray_side_effects():
        try:
            ray.init(address=address or "local", **quiet)
        except (OSError, RuntimeError, ValueError, ImportError, AssertionError) as error:
            raise _unreachable(address, error) from None
    return True


def room_for(needs: Mapping[str, float]) -> tuple[int, str]:
    """Return how many workers with some needs the nodes have room for, and the resources of each node as text."""
    nodes = [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
    asked = {name: amount for name, amount in needs.items() if amount}
    room = sum(
        int(min(node.get(name, 0.0) / amount + 1e-9 for name, amount in asked.items())) for node in nodes
    )
    resources = (f"{node.get(CPU, 0):g} CPUs and {node.get(GPU, 0):g} GPUs" for node in nodes)
    return room, "; ".join(resources) or "no node"


def has_free(needs: Mapping[str, float]) -> bool:
    """Return whether the cluster has free resources for one more worker."""
    free = import_ray().available_resources()
    return all(free.get(name, 0.0) >= amount for name, amount in needs.items() if amount)


@contextmanager
def suppress_ray_side_effects() -> Iterator[None]:
    """Silence the warnings of Ray as it starts or ends, and restore the handler of SIGTERM that it replaces."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, handler)


def _check_reachable(address: str | None) -> None:
    """Raise `RobustcheckError` if nothing answers at HOST:PORT: Ray itself would retry for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS_IN).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from None


def _unreachable(address: str | None, error: Exception) -> RobustcheckError:
    where = "on this machine" if address is None else f"at {address}"
    return RobustcheckError(
        f"there is no Ray {where} ({type(error).__name__}: {first_line(error)}): start one with `ray start --head` and name its address, "
        "--robustcheck-workers=ray:HOST:6379, or none to have one started here"
    )
