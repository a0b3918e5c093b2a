"""A reference kernel, by whose time those of two devices can be put in proportion."""

from __future__ import annotations

from statistics import median

import torch
from torch import Tensor

from robustcheck.benchmark.timer import device_seconds, seconds_per_call

_ROUNDS = 7


def reference_seconds(device: torch.device) -> float:
    """Return the seconds that a device takes, now, for a product of two square matrices and a copy.

    On a CPU the matrices are float64 of side 512, the copy of 32 MiB; on CUDA bfloat16 of side 8192, and 512
    MiB: types that no option for precision touches. Comparable between devices of one type only.
    """
    left, right, source, target = _work(device)

    def work() -> None:
        torch.mm(left, right)
        target.copy_(source)

    work()
    return median(seconds_per_call(work, 1, device_seconds) for _ in range(_ROUNDS))


def _work(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    on_cuda = device.type == "cuda"
    side, dtype, mebibytes = (8192, torch.bfloat16, 512) if on_cuda else (512, torch.float64, 32)
    left = torch.linspace(-1, 1, side * side, dtype=dtype, device=device).view(side, side)
    source = torch.zeros(mebibytes * 2**20, dtype=torch.uint8, device=device)
    return left, left.T.contiguous(), source, torch.empty_like(source)
