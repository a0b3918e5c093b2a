"""The arithmetic in which a network computes.

| name   | classification of views                        | attacks: gradients and losses  |
|--------|------------------------------------------------|--------------------------------|
| `fp32` | IEEE single precision, TensorFloat-32 off      | the same                       |
| `tf32` | TensorFloat-32 in convolutions and products    | the same                       |
| `bf16` | autocast to bfloat16                           | IEEE single precision          |
| `fp16` | autocast to float16                            | IEEE single precision          |

PyTorch itself leaves TensorFloat-32 on for convolutions on CUDA, so that what is called fp32 often is not. Under
autocast the gradient would lose the small entries whose sign an attack follows; it stays in fp32, and every
prediction that is recorded, l_x among them, is that of the half-precision network. Probabilities and measures are
computed in double precision from the logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.user_code import warn

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
PRECISION_NAMES = {
    torch.float32: "fp32",
    torch.float64: "fp64",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}
_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """One of `PRECISIONS` on a device."""

    name: str
    device: torch.device
    computed_in: tuple[str, ...] = ("fp32",)
    """What the network computes in by itself: of weights in bfloat16 that is bf16, whatever was asked for."""

    @classmethod
    def on(cls, device: torch.device, name: str) -> Precision:
        """Return a precision, checked against what a device can do.

        Raises `RobustcheckError` for an unknown name, and for one that the device does not have; warns with a
        RobustnessWarning of one that it only emulates.
        """
        if name not in PRECISIONS:
            raise unknown("precision", name, PRECISIONS)
        if device.type != "cuda":
            _check_host(name, device)
        elif name in {"tf32", "bf16"} and torch.cuda.get_device_capability(device) < (8, 0):
            raise RobustcheckError(
                f"{name} needs a GPU of compute capability 8.0 or more; {torch.cuda.get_device_name(device)} has "
                f"{'.'.join(map(str, torch.cuda.get_device_capability(device)))}: use fp32 or fp16"
            )
        return cls(name, device)

    @property
    def is_half(self) -> bool:
        """Whether views are classified in fewer bits than attacks are made in."""
        return self.name in _HALF

    def __str__(self) -> str:
        own = " and ".join(self.computed_in)
        if self.is_half:
            return f"{self.name} (attacks in {own})"
        return self.name if self.computed_in == ("fp32",) else f"{own} (the network's own)"

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Compute in this precision, whatever the process set: outside its autocast, on CUDA with its own TensorFloat-32."""
        if self.device.type != "cuda":
            with torch.autocast(self.device.type, enabled=False):
                yield
            return
        switches: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
        before = [switch.allow_tf32 for switch in switches]
        try:
            for switch in switches:
                switch.allow_tf32 = self.name == "tf32"
            with torch.autocast("cuda", enabled=False):
                yield
        finally:
            for switch, was in zip(switches, before, strict=True):
                switch.allow_tf32 = was

    def classifying(self) -> AbstractContextManager[object]:
        """Have what runs inside classify: under autocast in half precision."""
        if not self.is_half:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=_HALF[self.name])


def _check_host(name: str, device: torch.device) -> None:
    if name == "tf32":
        raise RobustcheckError(f"tf32 needs a CUDA device, got {device}: use fp32 or bf16")
    if name in _HALF and device.type == "cpu" and not _has_units(name):
        warn(f"this CPU has no {name} arithmetic: PyTorch emulates it, many times slower than fp32")


def _has_units(name: str) -> bool:
    """Whether oneDNN has kernels for a half precision on this CPU."""
    supported = getattr(torch.ops.mkldnn, f"_is_mkldnn_{name}_supported", None)
    return supported is None or bool(supported())
