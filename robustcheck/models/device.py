"""Where a classifier runs."""

from __future__ import annotations

import re

import torch

from robustcheck.errors import RobustcheckError

_NO_MEMORY = re.compile("out of memory|can't allocate memory|not enough memory|_ALLOC_FAILED", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device, or the machine, has no memory left.

    Torch raises OutOfMemoryError for its own allocator alone; CUDA's, cuBLAS's, cuDNN's and the CPU's are a RuntimeError.

    >>> is_out_of_memory(RuntimeError("CUDA error: out of memory")), is_out_of_memory(RuntimeError("out of bounds"))
    (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device for "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1" or a torch.device.

    Raises RobustcheckError for anything else, and for a CUDA device that is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if isinstance(device, str) and not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise RobustcheckError(
            f"unknown device {device!r}: allowed are auto, cpu, cuda and cuda:0, cuda:1, ..."
        )
    found = torch.device(device)
    if found.type != "cuda":
        return found
    if not torch.cuda.is_available():
        raise RobustcheckError(
            f"device {str(device)!r} needs CUDA, and torch {torch.__version__} finds no CUDA device here: use "
            "--robustcheck-device=cpu, or install a CUDA build of torch and a driver"
        )
    index = torch.cuda.current_device() if str(found) == "cuda" else found.index
    count = torch.cuda.device_count()
    if index >= count:
        raise RobustcheckError(f"device must be from cuda:0 to cuda:{count - 1}, got 'cuda:{index}'")
    return torch.device("cuda", index)


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor of the host on a device; on CUDA through pinned memory, so that the host does not wait."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
