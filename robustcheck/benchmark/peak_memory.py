"""Peak memory of a call.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_PROCESS = Path("/proc/self")


def peak_memory(call: Callable[[], object], device: torch.device, *, process: Path = _PROCESS) -> int | None:
    """Call, and return by how many bytes the memory in use grew at its peak; None if that can't be measured.

    On CUDA it is the memory of PyTorch's tensors on the device. On a CPU it is the resident memory of the process,
    after freed memory has been returned to the system; this takes Linux with glibc.
    """
    return _on_cuda(call, device) if device.type == "cuda" else _resident(call, process)


def _on_cuda(call: Callable[[], object], device: torch.device) -> int:
    import torch

    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _resident(call: Callable[[], object], process: Path) -> int | None:
    if not _reset_peak(process):
        call()
        return None
    status = process / "status"
    before = _bytes_in(status, "VmRSS")
    call()
    return max(0, _bytes_in(status, "VmHWM") - before)


def _reset_peak(process: Path) -> bool:
    """Reset the kernel's record of the peak, and return whether that is possible."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        (process / "clear_refs").write_text("5")
    except (OSError, AttributeError, TypeError):
        return False
    return (process / "status").exists()


def _bytes_in(status: Path, field: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])
