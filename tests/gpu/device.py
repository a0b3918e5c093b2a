"""What differs between a CUDA device and the CPU: when work is done, memory, waits, arithmetic."""

from __future__ import annotations

import resource
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from statistics import median

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ROUND = 0.02
"""Seconds; what is shorter is called several times a round."""


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def name_of(device: str) -> str:
    return torch.cuda.get_device_name() if device != "cpu" else "CPU"


def seconds_a_call(call: Callable[[], object], calls: int, device: str) -> float:
    """Seconds a call, of several given to the device one after the other."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        call()
    synchronize(device)
    return (time.perf_counter() - start) / calls


def medians_in_turns(
    calls: Mapping[str, Callable[[], object]],
    device: str,
    *,
    rounds: int,
    deadline: float,
    shortest: float = ROUND,
) -> Iterator[dict[str, float]]:
    """Time each call once a round, in turns, and yield the medians so far after each round.

    No round is begun that would last past `deadline`. The calls have been warmed up. What takes less than `shortest` seconds is called as often as fills them; 0 is for
    calls too long to be made once more.
    """
    counts = dict.fromkeys(calls, 1)
    for name, call in calls.items() if shortest else ():
        counts[name] = max(1, round(shortest / max(seconds_a_call(call, 1, device), 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        start = time.monotonic()
        for name, call in calls.items():
            times[name].append(seconds_a_call(call, counts[name], device))
        yield {name: median(each) for name, each in times.items()}
        if 2 * time.monotonic() - start > deadline:
            return


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """The most memory in use while `call` runs: of the device's tensors, or of this process since it began."""
    if device == "cpu":
        call()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


@contextmanager
def host_waits(device: str) -> Iterator[Counter[str]]:
    """Count where the host waits for the device, by place or operation; complete once the context has ended.

    On the CPU, what would wait on a device: reading values, copies to the host, and results whose size depends on
    values. Whether a tensor would be on the device can't be told there, so that reading the host's counts, too.
    """
    places: Counter[str] = Counter()
    if device == "cpu":
        with _WaitingOperations(places), _ReadingMethods(places):
            yield places
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode("default")
    places.update(
        f"{each.filename}:{each.lineno}" for each in caught if "called a synchronizing" in str(each.message)
    )


class _WaitingOperations(TorchDispatchMode):
    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal")
    INDEXED = ("index", "index_put", "index_put_")
    """These wait where an index is a mask."""

    def __init__(self, places: Counter[str]) -> None:
        super().__init__()
        self.places = places

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in self.NAMES or (name in self.INDEXED and _has_mask(args[1])):
            self.places[f"{name} in {_caller()}"] += 1
        return func(*args, **(kwargs or {}))


def _has_mask(indices: Sequence[torch.Tensor | None]) -> bool:
    return any(index is not None and index.dtype in {torch.bool, torch.uint8} for index in indices)


class _ReadingMethods(TorchFunctionMode):
    """Counts methods that hand a tensor's values to Python, some of which reach no operation on the CPU."""

    NAMES = (
        "__array__",
        "__bool__",
        "__float__",
        "__index__",
        "__int__",
        "__iter__",
        "cpu",
        "numpy",
        "tolist",
    )

    def __init__(self, places: Counter[str]) -> None:
        super().__init__()
        self.places = places

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in self.NAMES or (
            name == "to" and "cpu" in [arg for arg in args[1:] if isinstance(arg, str)]
        ):
            self.places[f"{name} in {_caller()}"] += 1
        return func(*args, **(kwargs or {}))


def _caller() -> str:
    """The innermost place in the package that has led here."""
    frames = [frame for frame in traceback.extract_stack() if "/robustcheck/" in frame.filename]
    return (
        f"{frames[-1].filename.rpartition('/robustcheck/')[2]}:{frames[-1].lineno}"
        if frames
        else "the caller"
    )


def precisions(device: str) -> tuple[str, ...]:
    return ("fp32", "bf16") if device == "cpu" else ("fp32", "tf32", "bf16")


@contextmanager
def arithmetic(precision: str, device: str, *, half: bool = True) -> Iterator[None]:
    """Have plain PyTorch compute in a precision; unless `half`, bf16 is left to who classifies."""
    switches = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [switch.allow_tf32 for switch in switches]
    autocast = torch.autocast(device, torch.bfloat16) if half and precision == "bf16" else nullcontext()
    try:
        for switch in switches:
            switch.allow_tf32 = precision == "tf32"
        with autocast:
            yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.allow_tf32 = was
