"""How a classifier runs: which network does its work, and in what arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - what everybody calls it
from torch import Tensor

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models import Classifier, Precision
from robustcheck.models.host_memory import keep_freed_memory

OPTIMIZE = {
    "none": "as it is",
    "fold": "batch normalisation folded into convolutions, where it can be",
    "compile": "batch normalisation folded into convolutions, where it can be; compiled for classification",
}
"""What runs, by the option's word, and in words."""


@dataclass(frozen=True)
class Running:
    """A classifier made ready to run."""

    attacked: Classifier
    """Where gradients come from."""
    classifying: Classifier
    """What classifies: the same network, by `optimize="compile"` compiled for one size of batch."""
    precision: Precision
    whole_batches: bool = False
    """Whether a batch is filled up to its full size, since another size would be compiled anew."""

    @classmethod
    def plain(cls, classifier: Classifier) -> Running:
        """Return a classifier as it is."""
        return cls(classifier, classifier, Precision("fp32", classifier.device))

    @classmethod
    def prepared(cls, classifier: Classifier, *, precision: str, optimize: str) -> Running:
        """Return a classifier made ready by what the options say.

        `optimize` is "none" (the network as it is), "fold" (batch normalisations folded into convolutions) or
        "compile" (that, and `torch.compile` for classification). Raises `RobustcheckError` for another word or
        precision, and for a precision that the device does not have.
        """
        if optimize not in OPTIMIZE:
            raise unknown("optimize", optimize, OPTIMIZE)
        arithmetic = Precision.on(classifier.device, precision)
        if classifier.device.type == "cpu":
            keep_freed_memory()
        if optimize == "none":
            return cls(classifier, classifier, arithmetic)
        with arithmetic.arithmetic():
            folded = classifier.folded()
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

    return classifier.running(network)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0][:200]
