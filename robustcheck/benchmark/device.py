"""On what a time was measured: what has to be the same for two of them to be compared, and what else is known."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustcheck.benchmark import nvidia

if TYPE_CHECKING:
    import torch

_LIBRARIES = ("torch", "torchvision", "triton", "pillow", "numpy", "pytest-benchmark", "pytest-robustcheck")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_SAME = ("type", "name", "threads")
"""What two measurements must agree in to be of one device."""


def facts_of(device: torch.device) -> dict[str, Any]:
    """Return what is known of a device, without what can't be read; takes a moment, so ask outside of timing."""
    return _cuda(device) if device.type == "cuda" else _cpu()


def _cpu() -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {"type": "cpu", "name": cpu_name(), "threads": torch.get_num_threads()}
    if hasattr(os, "getloadavg"):
        found["load"] = round(os.getloadavg()[0], 2)
    if _GOVERNOR.is_file():
        found["governor"] = _GOVERNOR.read_text().strip()
    return found


def _cuda(device: torch.device) -> dict[str, Any]:
    import torch

    properties: Any = torch.cuda.get_device_properties(device)
    known = next((gpu for gpu in nvidia.gpus() if gpu.get("uuid") == f"GPU-{properties.uuid}"), {})
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


def is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two measurements, by their devices' facts, can be compared second by second."""
    return all(one.get(fact) == other.get(fact) for fact in _SAME)


def in_words(facts: dict[str, Any]) -> str:
    """Return what is known of a device, for people.

    >>> in_words({"type": "cpu", "name": "AMD EPYC", "threads": 2})
    'cpu (AMD EPYC, 2 threads)'
    """
    count = facts.get("threads")
    threads = "" if count is None else ", 1 thread" if count == 1 else f", {count} threads"
    return f"{facts.get('type', 'unknown')} ({facts.get('name', 'unknown')}{threads})"


def machine() -> dict[str, Any]:
    """Return what pytest-benchmark's machine info is to hold: lasting facts, found without importing a library."""
    lasting = [{fact: gpu[fact] for fact in nvidia.LASTING if fact in gpu} for gpu in nvidia.gpus()]
    return {"versions": versions(), "gpus": lasting}


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
