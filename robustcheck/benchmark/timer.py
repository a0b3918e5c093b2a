"""Times of a device that has done its work, without tracers and profilers."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from math import ceil
from typing import Any

Timer = Callable[[], float]

SHORTEST_ROUND = 0.005
"""Seconds. A shorter call is repeated within a round."""
_LONG_ENOUGH = 0.9 * SHORTEST_ROUND
_MOST_CALLS = 100_000
_LONGEST_REPEATED = 0.1
"""Seconds. A longer measurement is not repeated to see whether something else has made it long."""


def device_seconds() -> float:
    """Return a clock's seconds, after every CUDA device that this process uses has finished its work.

    PyTorch returns from a call on CUDA before the device has finished it. This imports no torch.
    """
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            if torch.cuda.memory_reserved(index):  # others do nothing, and waiting for one would set it up
                torch.cuda.synchronize(index)
    return time.perf_counter()


def seconds_per_call(call: Callable[[], object], calls: int, timer: Timer) -> float:
    """Return the seconds of one call, from one measurement of several."""
    start = timer()
    for _ in range(calls):
        call()
    return (timer() - start) / calls


def calibrate(call: Callable[[], object], timer: Timer) -> tuple[int, float]:
    """Return how many calls make a round long enough for the clock, and the seconds of one."""
    calls = 1
    while True:
        seconds = _least_seconds(call, calls, timer)
        if seconds >= _LONG_ENOUGH or calls >= _MOST_CALLS:
            return calls, seconds / calls
        wanted = ceil(calls * SHORTEST_ROUND / max(seconds, 1e-9))
        calls = min(_MOST_CALLS, max(calls + 1, min(wanted, 10 * calls)))


def _least_seconds(call: Callable[[], object], calls: int, timer: Timer) -> float:
    """Return the seconds of several calls; what an interruption makes long is measured again, at most twice."""
    least = float("inf")
    for _ in range(3):
        least = min(least, seconds_per_call(call, calls, timer) * calls)
        if least < _LONG_ENOUGH or least > _LONGEST_REPEATED:
            break
    return least


@contextmanager
def without_tracing(*, disable_gc: bool = False) -> Generator[None]:
    """Suspend tracers and profilers, as pytest-benchmark does, and optionally the garbage collector."""
    trace, profile, collects = sys.gettrace(), sys.getprofile(), gc.isenabled()
    sys.settrace(None)
    if callable(profile):  # cProfile's can't be put back from Python
        sys.setprofile(None)
    if disable_gc:
        gc.disable()
    try:
        yield
    finally:
        sys.settrace(trace)
        if callable(profile):
            sys.setprofile(profile)
        if collects:
            gc.enable()
