"""How many images the model gets at once: the size at which it is fastest here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from robustcheck.attacks import loss_gradient
from robustcheck.evaluation.prepared_model import Running

CPU_BATCH, CUDA_BATCH = 8, 128
"""Without a measurement."""
_CPU_SIZES, _CUDA_SIZES = (2, 4, 8, 16, 32, 64), (16, 32, 64, 128, 256, 512, 1024)
_FORWARD = 7
"""How often the paper's table classifies an image for each gradient."""
_ROUNDS = 2
_WORTH_IT = 1.03
"""A larger batch has to be faster by so much."""
_FALLS_OFF = 0.9


@dataclass(frozen=True)
class Measured:
    """Images of the paper's table a second, by the size of the batch."""

    rates: dict[int, float]

    @property
    def best(self) -> int:
        """The smallest size that is nearly as fast as any."""
        fastest = max(self.rates.values())
        return next(size for size, rate in sorted(self.rates.items()) if rate * _WORTH_IT >= fastest)

    def __str__(self) -> str:
        told = ", ".join(f"{size}: {rate:.3g}" for size, rate in sorted(self.rates.items()))
        return f"{self.best}, the fastest here (images/s of the model alone at {told})"


def default_batch_size(device: torch.device) -> int:
    """Return the size that is taken where none is asked for."""
    return CUDA_BATCH if device.type == "cuda" else CPU_BATCH


def measure_batch_sizes(running: Running, *, clock: Callable[[], float] = time.perf_counter) -> Measured:
    """Time the model's calls for the paper's table at one size after the other, as long as larger ones pay.

    It stops where the device is out of memory and where a size is slower than the best by a tenth.
    """
    device = running.attacked.device
    rates: dict[int, float] = {}
    for size in _CUDA_SIZES if device.type == "cuda" else _CPU_SIZES:
        try:
            rates[size] = size / min(_seconds(running, size, clock))
        except torch.OutOfMemoryError:
            if not rates:
                raise
            break
        if rates[size] < _FALLS_OFF * max(rates.values()):
            break
    return Measured(rates)


def _seconds(running: Running, size: int, clock: Callable[[], float]) -> Iterator[float]:
    """Yield the seconds of a gradient and of seven classifications of a batch, after one round that warms up."""
    device = running.attacked.device
    images = torch.full((size, 3, *running.attacked.input_size), 127, dtype=torch.uint8, device=device)
    for number in range(_ROUNDS + 1):
        start = clock()
        loss_gradient(running.attacked, images)
        middle = _after(device, clock)
        with torch.inference_mode():
            running.logits(images, size)
        end = _after(device, clock)
        if number:
            yield middle - start + _FORWARD * (end - middle)


def _after(device: torch.device, clock: Callable[[], float]) -> float:
    """Return the time once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock()
