"""What a device did and for how long, by torch.profiler; on the CPU, operations that no other has called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from tests.gpu.device import synchronize


@dataclass(frozen=True)
class Kernel:
    """One piece of the device's work; times in microseconds."""

    name: str
    start: float
    end: float


def profiler(device: str) -> Any:
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device != "cpu" else [])]
    return profile(activities=activities)


def kernels_of(profiled: Any, device: str) -> list[Kernel]:
    """All that the device did, in order."""
    events = profiled.events()
    if device == "cpu":
        own = [event for event in events if event.cpu_parent is None and event.device_type == DeviceType.CPU]
    else:
        own = [event for event in events if event.device_type == DeviceType.CUDA]
    found = [Kernel(event.name, event.time_range.start, event.time_range.end) for event in own]
    return sorted(found, key=lambda kernel: kernel.start)


def busy_microseconds(kernels: Iterable[Kernel]) -> float:
    """How long the device did anything, what overlaps counted once."""
    busy, until = 0.0, float("-inf")
    for kernel in kernels:
        busy += max(0.0, kernel.end - max(kernel.start, until))
        until = max(until, kernel.end)
    return busy


def by_name(kernels: Iterable[Kernel]) -> list[tuple[str, int, float]]:
    """Names, how often, and microseconds in all, the longest first."""
    times: dict[str, list[float]] = defaultdict(list)
    for kernel in kernels:
        times[kernel.name].append(kernel.end - kernel.start)
    found = [(name, len(each), sum(each)) for name, each in times.items()]
    return sorted(found, key=lambda row: -row[2])


def busy_seconds(call: Callable[[], object], device: str, *, calls: int) -> float | None:
    """Seconds a call for which the device computes, whatever the host needs and copies beside; None if none were seen.

    The call has been warmed up.
    """
    synchronize(device)
    with profiler(device) as profiled:
        for _ in range(calls):
            call()
        synchronize(device)
    kernels = [
        each for each in kernels_of(profiled, device) if not each.name.startswith(("Memcpy", "Memset"))
    ]
    return busy_microseconds(kernels) / calls / 1e6 or None
