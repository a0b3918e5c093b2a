"""OverFeat (arXiv 1312.6229), the network of the study that this project reproduces, on its released weights.

The files `net_weight_0` (fast) and `net_weight_1` (accurate) are little-endian float32 without a header: per
convolution its weights (out, in, height, width), then its biases. Their licence forbids redistribution, so they
are read from the user's own copy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from robustcheck.errors import RobustcheckError
from robustcheck.models.built_network import BuiltNetwork
from robustcheck.models.classifier import Classifier
from robustcheck.models.imagenet_classes import CLASSES, class_names, class_of_challenge_id
from robustcheck.models.preprocessing import Preprocessing

MEAN, STD = 118.380948, 61.896913
"""Of pixels in 0..255, for all three channels."""
_RESIZE = 256
_THRESHOLD = 1e-6
_LARGEST = 1e4
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Convolution:
    """A convolution, and the pooling after it, if any."""

    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 0
    pool: int = 0


@dataclass(frozen=True)
class Architecture:
    """One of the two networks, and the file of its weights."""

    file: str
    input_size: int
    convolutions: tuple[Convolution, ...]

    @property
    def floats(self) -> int:
        """How many numbers its file holds."""
        return places(self)[-1][-1]


ARCHITECTURES: Mapping[str, Architecture] = {
    "overfeat-fast": Architecture(
        file="net_weight_0",
        input_size=231,
        convolutions=(
            Convolution(96, 11, stride=4, pool=2),
            Convolution(256, 5, pool=2),
            Convolution(512, 3, padding=1),
            Convolution(1024, 3, padding=1),
            Convolution(1024, 3, padding=1, pool=2),
            Convolution(3072, 6),
            Convolution(4096, 1),
            Convolution(CLASSES, 1),
        ),
    ),
    "overfeat-accurate": Architecture(
        file="net_weight_1",
        input_size=221,
        convolutions=(
            Convolution(96, 7, stride=2, pool=3),
            Convolution(256, 7, pool=2),
            Convolution(512, 3, padding=1),
            Convolution(512, 3, padding=1),
            Convolution(1024, 3, padding=1),
            Convolution(1024, 3, padding=1, pool=3),
            Convolution(4096, 5),
            Convolution(4096, 1),
            Convolution(CLASSES, 1),
        ),
    ),
}


def load(name: str, *, weights: Path | None, device: str | torch.device) -> Classifier:
    """Load OverFeat on the file of its released weights; its classes are in the order of sorted WNIDs."""
    architecture = ARCHITECTURES[name]
    if weights is None:
        raise RobustcheckError(
            f"{name} needs the file {architecture.file} of OverFeat's release, whose licence forbids redistribution: "
            f"--robustcheck-weights=PATH/{architecture.file}"
        )
    preprocessing = Preprocessing.for_size(
        architecture.input_size,
        resize=_RESIZE,
        interpolation="bilinear",
        mean=(MEAN / 255,) * 3,
        std=(STD / 255,) * 3,
    )
    built = BuiltNetwork(OverFeat(architecture, read_weights(weights, architecture, name)))
    return built.classifier(preprocessing, name=name, device=device, class_names=class_names())


class OverFeat(nn.Module):
    """The network: convolutions with a threshold between them, and classes in the usual order."""

    def __init__(self, architecture: Architecture, weights: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for convolution, (weight, bias) in zip(architecture.convolutions, weights, strict=True):
            layer = nn.Conv2d(
                weight.shape[1],
                convolution.outputs,
                convolution.kernel,
                stride=convolution.stride,
                padding=convolution.padding,
                device="meta",
            )
            layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
            layers += [layer, nn.Threshold(_THRESHOLD, 0.0)]
            if convolution.pool:
                layers.append(nn.MaxPool2d(convolution.pool))
        self.layers: nn.Sequential = nn.Sequential(*layers[:-1])  # no threshold after the last
        self.register_buffer("order", torch.from_numpy(class_of_challenge_id()).argsort())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, 1000) of normalised images (N, 3, size, size)."""
        return self.layers(images).flatten(1).index_select(1, self.order)  # type: ignore[no-any-return]


def places(architecture: Architecture) -> list[tuple[tuple[int, int, int, int], int, int, int]]:
    """Return per convolution the shape of its weights, where they begin, where its biases begin, and their end."""
    channels, begin, found = 3, 0, []
    for convolution in architecture.convolutions:
        shape = (convolution.outputs, channels, convolution.kernel, convolution.kernel)
        middle = begin + math.prod(shape)
        found.append((shape, begin, middle, middle + convolution.outputs))
        channels, begin = convolution.outputs, middle + convolution.outputs
    return found


def read_weights(
    path: Path, architecture: Architecture, name: str
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return weights and biases of each convolution, memory-mapped from the file.

    RobustcheckError for a file of another size, and for one with numbers that can't be weights (infinite, NaN,
    or beyond 1e4), such as another file or another byte order.
    """
    if not path.is_file():
        raise RobustcheckError(f"no weights at {path}: {'not a file' if path.exists() else 'no such file'}")
    size, wanted = path.stat().st_size, 4 * architecture.floats
    if size != wanted:
        other = next((key for key, known in ARCHITECTURES.items() if 4 * known.floats == size), None)
        advice = (
            f"it is the file of {other}; use --robustcheck-model={other}"
            if other
            else "it is truncated, or another file; give OverFeat's own"
        )
        raise RobustcheckError(
            f"{architecture.file} of {name} must have {wanted} bytes, got {size} in {path}: {advice}"
        )
    numbers = np.memmap(path, dtype="<f4", mode="c")
    read = []
    for number, (shape, begin, middle, end) in enumerate(places(architecture), 1):
        largest = _largest(numbers[begin:end])
        if not largest < _LARGEST:  # NaN is not below anything
            raise RobustcheckError(
                f"{path} does not hold weights of {name}: the numbers of convolution {number} go up to {largest:.3g}; "
                "it is damaged, or another file"
            )
        read.append((_tensor(numbers[begin:middle]).view(shape), _tensor(numbers[middle:end])))
    return read


def _largest(numbers: np.ndarray[Any, Any]) -> float:
    """Return the largest magnitude, a chunk at a time to keep copies small."""
    starts = range(0, len(numbers), _CHUNK)
    return float(np.max([np.abs(numbers[start : start + _CHUNK]).max() for start in starts]))


def _tensor(numbers: np.ndarray[Any, Any]) -> torch.Tensor:
    native = np.asarray(numbers, dtype=np.float32)  # a copy only where the machine is big-endian
    return torch.from_numpy(native)
