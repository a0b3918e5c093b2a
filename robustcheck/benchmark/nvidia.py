"""What NVIDIA's driver tells of its devices: by `nvidia-ml-py` where it is installed, else by `nvidia-smi`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

Facts = dict[str, str | int | float]

LASTING = ("name", "driver", "memory_mib")
"""What is the same from run to run; the rest says in which state the device is now."""

_QUERIES = {
    "uuid": "uuid",
    "name": "name",
    "driver": "driver_version",
    "memory_mib": "memory.total",
    "power_state": "pstate",
    "sm_clock_mhz": "clocks.sm",
    "memory_clock_mhz": "clocks.mem",
    "power_limit_w": "power.limit",
    "temperature_c": "temperature.gpu",
}
_TIMEOUT = 20


def gpus() -> list[Facts]:
    """Return what is known of each device, without what can't be read; none where there is no driver."""
    try:
        import pynvml
    except ImportError:
        return _by_smi()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_by_nvml(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()


def _by_nvml(nvml: Any, index: int) -> Facts:
    device = nvml.nvmlDeviceGetHandleByIndex(index)
    ask: dict[str, Callable[[], Any]] = {
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
    for fact, read in ask.items():
        try:
            value = read()
        except nvml.NVMLError:  # this device does not tell
            continue
        found[fact] = value.decode() if isinstance(value, bytes) else value
    return found


def _by_smi() -> list[Facts]:
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return []
    query = f"--query-gpu={','.join(_QUERIES.values())}"
    try:
        told = subprocess.run(  # noqa: S603 - its arguments are all ours
            [smi, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_TIMEOUT,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = (line.split(", ") for line in told.splitlines())
    return [dict(_told(row)) for row in rows if len(row) == len(_QUERIES)]


def _told(row: list[str]) -> list[tuple[str, str | int | float]]:
    return [
        (fact, _number(text))
        for fact, text in zip(_QUERIES, map(str.strip, row), strict=True)
        if text[:1] != "["
    ]  # [N/A], [Not Supported]


def _number(text: str) -> str | int | float:
    if text.isdecimal():
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text
