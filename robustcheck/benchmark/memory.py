"""The most memory that a call needs at once."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(call: Callable[[], object], device: torch.device) -> int | None:
    """Call, and return by how many bytes what is in use grew at its peak; None where that can't be had.

    On CUDA it is what PyTorch's tensors take on the device. On a CPU it is what the process has resident, after
    freed memory has been given back to the system; Linux with glibc alone can tell.
    """
    return _on_cuda(call, device) if device.type == "cuda" else _resident(call)


def _on_cuda(call: Callable[[], object], device: torch.device) -> int:
    import torch

    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _resident(call: Callable[[], object]) -> int | None:
    if not _can_tell_resident():
        call()
        return None
    before = _bytes_in("VmRSS")
    call()
    return max(0, _bytes_in("VmHWM") - before)


def _can_tell_resident() -> bool:
    """Start the kernel's count of the peak anew, and return whether it could be."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR.write_text("5")
    except (OSError, AttributeError, TypeError):
        return False
    return _STATUS.exists()


def _bytes_in(field: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])
