"""How a classifier runs: which network does its work, in what arithmetic, and on how many images at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - what everybody calls it
from torch import Tensor

from robustcheck.attacks import loss_gradient
from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models import Classifier, Precision
from robustcheck.models.device import is_out_of_memory
from robustcheck.models.host_memory import keep_freed_memory

CPU_BATCH, CUDA_BATCH = 8, 128
"""The size of batches where it is not measured."""
_CPU_SIZES, _CUDA_SIZES = (2, 4, 8, 16, 32, 64), (16, 32, 64, 128, 256, 512, 1024)
_FORWARD = 7
"""How often the paper's table classifies an image for each gradient."""
_ROUNDS = 2
_WORTH_IT = 1.03
"""A larger batch has to be faster by so much."""
_FALLS_OFF = 0.9
OPTIMIZE = {
    "none": "as it is",
    "fold": "batch normalisation folded into convolutions, where it can be",
    "compile": "batch normalisation folded into convolutions, where it can be; compiled for classification",
}
"""What runs, by the option's word, and in words."""


@dataclass(frozen=True)
class PreparedModel:
    """A classifier made ready to run."""

    attacked: Classifier
    """Where gradients come from."""
    classifying: Classifier
    """What classifies: the same network, by `optimize="compile"` compiled for one size of batch."""
    precision: Precision
    whole_batches: bool = False
    """Whether a batch is filled up to its full size, since another size would be compiled anew."""

    @classmethod
    def plain(cls, classifier: Classifier) -> PreparedModel:
        """Return a classifier as it is."""
        return cls(classifier, classifier, Precision("fp32", classifier.device))

    @classmethod
    def prepared(
        cls,
        classifier: Classifier,
        *,
        precision: str,
        optimize: str,
        is_folded: bool | None = None,
        trial: Callable[[], Sequence[Tensor]] | None = None,
    ) -> PreparedModel:
        """Return a classifier made ready by what the options say.

        `optimize` is "none" (the network as it is), "fold" (batch normalisations folded into convolutions, if the
        folded network computes the same on two batches of images, those of `trial` or noise) or "compile" (that, and
        `torch.compile` for classification). `is_folded` is the outcome of that trial where another process has made
        it. Raises `RobustcheckError` for another word or precision, and for a precision that the device does not have.
        """
        if optimize not in OPTIMIZE:
            raise unknown("optimize", optimize, OPTIMIZE)
        arithmetic = Precision.on(classifier.device, precision)
        if classifier.device.type == "cpu":
            keep_freed_memory()
        if optimize == "none":
            return cls(classifier, classifier, arithmetic)
        folded = classifier if is_folded is False else classifier.folded(trial, check=not is_folded)
        if optimize == "fold":
            return cls(folded, folded, arithmetic)
        return cls(folded, _compiled(folded), arithmetic, whole_batches=True)

    @property
    def differs(self) -> bool:
        """Whether views are classified otherwise than in the forward pass that a gradient is taken of."""
        return self.precision.is_half or self.classifying is not self.attacked

    def logits(self, images: Tensor, batch_size: int) -> Tensor:
        """Return logits of uint8 images (N, 3, H, W), `batch_size` at a time: float32 (N, classes)."""
        with self.precision.classifying():
            parts = [self._logits_of_one(part, batch_size) for part in torch.split(images, batch_size)]
        return torch.cat(parts)

    def _logits_of_one(self, images: Tensor, batch_size: int) -> Tensor:
        missing = batch_size - len(images) if self.whole_batches else 0
        if missing:
            images = F.pad(images, (0, 0, 0, 0, 0, 0, 0, missing))
        logits = self.classifying.logits(images.float())
        return logits[: len(logits) - missing]


def _compiled(classifier: Classifier) -> Classifier:
    """Return a classifier whose network is compiled when it first runs."""
    compiled = torch.compile(classifier.network, dynamic=False)

    def network(images: Tensor) -> Any:
        try:
            return compiled(images)
        except (torch._dynamo.exc.TorchDynamoException, ImportError) as error:  # noqa: SLF001 - it has no public name
            raise RobustcheckError(
                f"torch.compile can't compile {classifier.name} ({type(error).__name__}: {_first_line(error)}): leave out "
                "--robustcheck-optimize=compile, or see that a C++ compiler (on CUDA: Triton) is there"
            ) from None

    return classifier.with_network(network)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0][:200]


@dataclass(frozen=True)
class BatchSizes:
    """Images of the paper's table a second, by the size of the batch."""

    rates: dict[int, float]

    @property
    def best(self) -> int:
        """The smallest size that is nearly as fast as any."""
        fastest = max(self.rates.values())
        return next(size for size, rate in sorted(self.rates.items()) if rate * _WORTH_IT >= fastest)

    def __str__(self) -> str:
        rates = ", ".join(f"{size}: {rate:.3g}" for size, rate in sorted(self.rates.items()))
        return f"{self.best}, the fastest here (images/s of the model alone at {rates})"


def default_batch_size(device: torch.device) -> int:
    """Return the size that is taken where none is asked for."""
    return CUDA_BATCH if device.type == "cuda" else CPU_BATCH


def measure_batch_sizes(
    model: PreparedModel, *, clock: Callable[[], float] = time.perf_counter
) -> BatchSizes:
    """Time the model's calls for the paper's table at one size after the other, as long as larger ones pay.

    It stops where the device is out of memory and where a size is slower than the best by a tenth.
    """
    device = model.attacked.device
    rates: dict[int, float] = {}
    for size in _CUDA_SIZES if device.type == "cuda" else _CPU_SIZES:
        try:
            rates[size] = size / min(_seconds(model, size, clock))
        except (RuntimeError, MemoryError) as error:
            if not (rates and is_out_of_memory(error)):
                raise
            break
        if rates[size] < _FALLS_OFF * max(rates.values()):
            break
    return BatchSizes(rates)


def _seconds(model: PreparedModel, size: int, clock: Callable[[], float]) -> Iterator[float]:
    """Yield the seconds of a gradient and of seven classifications of a batch, after one round that warms up."""
    device = model.attacked.device
    images = torch.full((size, 3, *model.attacked.input_size), 127, dtype=torch.uint8, device=device)
    for number in range(_ROUNDS + 1):
        start = clock()
        loss_gradient(model.attacked, images)
        middle = _after(device, clock)
        with torch.inference_mode():
            model.logits(images, size)
        end = _after(device, clock)
        if number:
            yield middle - start + _FORWARD * (end - middle)


def _after(device: torch.device, clock: Callable[[], float]) -> float:
    """Return the time once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock()
