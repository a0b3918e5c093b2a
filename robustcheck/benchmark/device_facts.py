"""The device of a measurement: what two measurements must share to be compared, and its state.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Facts = dict[str, Any]

_LIBRARIES = ("torch", "torchvision", "triton", "pillow", "numpy", "pytest-benchmark", "pytest-robustcheck")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_SAME = ("type", "name", "threads")
"""What two measurements must agree in to be of one device."""
_LASTING = ("name", "driver", "memory_mib")
"""Facts of a GPU that stay from run to run; the others are its state."""


def device_facts(device: torch.device) -> Facts:
    """Return what is known of a device, without what can't be read; takes a moment, so call it outside of timing."""
    return _cuda_facts(device) if device.type == "cuda" else _cpu_facts()


def _cpu_facts() -> Facts:
    import torch

    found: Facts = {"type": "cpu", "name": cpu_name(), "threads": torch.get_num_threads()}
    if hasattr(os, "getloadavg"):
        found["load"] = round(os.getloadavg()[0], 2)
    if _GOVERNOR.is_file():
        found["governor"] = _GOVERNOR.read_text().strip()
    return found


def _cuda_facts(device: torch.device) -> Facts:
    import torch

    properties: Any = torch.cuda.get_device_properties(device)
    known = next((gpu for gpu in nvidia_gpus() if gpu.get("uuid") == f"GPU-{properties.uuid}"), {})
    return {
        "type": "cuda",
        "name": properties.name,
        "cuda": torch.version.cuda,
        **{fact: value for fact, value in known.items() if fact not in {"uuid", "name"}},
    }


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """Return the processor's name."""
    import cpuinfo  # comes with pytest-benchmark

    return str(cpuinfo.get_cpu_info().get("brand_raw") or "unknown processor")


def nvidia_gpus() -> list[Facts]:
    """Return what NVIDIA's driver says of each device; nothing without the driver or `nvidia-ml-py`."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_nvidia_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def _nvidia_gpu(nvml: Any, index: int) -> Facts:
    device = nvml.nvmlDeviceGetHandleByIndex(index)
    queries: dict[str, Callable[[], Any]] = {
        "uuid": lambda: nvml.nvmlDeviceGetUUID(device),
        "name": lambda: nvml.nvmlDeviceGetName(device),
        "driver": nvml.nvmlSystemGetDriverVersion,
        "memory_mib": lambda: nvml.nvmlDeviceGetMemoryInfo(device).total // 2**20,
        "power_state": lambda: f"P{nvml.nvmlDeviceGetPerformanceState(device)}",
        "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM),
        "memory_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_MEM),
        "power_limit_w": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(device) / 1000,
        "temperature_c": lambda: nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU),
    }
    found: Facts = {}
    for fact, query in queries.items():
        try:
            value = query()
        except nvml.NVMLError:  # not supported by this device
            continue
        found[fact] = value.decode() if isinstance(value, bytes) else value
    return found


def is_same_device(one: Facts, other: Facts) -> bool:
    """Return whether two measurements, by the facts of their devices, can be compared second by second."""
    return all(one.get(fact) == other.get(fact) for fact in _SAME)


def describe(facts: Facts) -> str:
    """Return a device's name and threads as text.

    >>> describe({"type": "cpu", "name": "AMD EPYC", "threads": 2})
    'cpu (AMD EPYC, 2 threads)'
    """
    count = facts.get("threads")
    threads = "" if count is None else ", 1 thread" if count == 1 else f", {count} threads"
    return f"{facts.get('type', 'unknown')} ({facts.get('name', 'unknown')}{threads})"


def machine_info() -> dict[str, Any]:
    """Return what pytest-benchmark stores of a machine: facts that stay, found without importing a library."""
    gpus = [{fact: gpu[fact] for fact in _LASTING if fact in gpu} for gpu in nvidia_gpus()]
    return {"versions": versions(), "gpus": gpus}


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Return the versions of the libraries that a time depends on, of those that are installed."""
    found = ((library, _version(library)) for library in _LIBRARIES)
    return {library: version for library, version in found if version is not None}


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
