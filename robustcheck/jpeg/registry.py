"""The JPEG codecs: one row each. All give the same pixels; they differ in where they run and how fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import torch
from torch import Tensor

from robustcheck.errors import RobustcheckError, unknown


class Implementation(Protocol):
    """What the module of a codec has."""

    def roundtrip(self, images: Tensor, qualities: Tensor, subsampling: str) -> Tensor:
        """Take uint8 `images` (N, 3, H, W), N >= 1, through JPEG at `qualities`, int64 (N,) on the CPU."""

    def library(self) -> str:
        """Name the library that decides the pixels, with its version."""

    def unsupported_reason(self, device: torch.device) -> str | None:
        """Why it can't run on images on `device`, or None if it can."""


@dataclass(frozen=True)
class Codec:
    """A row of the registry; its module is imported when the codec is used."""

    module: str
    """The dotted name of an `Implementation`."""
    needs: str
    """What it runs on, for an error."""
    devices: tuple[str, ...]
    """The types of device on which `auto` takes it, if no row before it runs there; "any" for all."""
    is_tested: bool = False
    """Whether `auto` takes it only where it gives the tensor codec's pixels for a check image."""
    faster: str = ""
    """The module that does its work instead, where both give the same pixels for the check image."""


CODECS: Mapping[str, Codec] = {
    "triton": Codec("robustcheck.jpeg.triton", "CUDA tensors and Triton", ("cuda",)),
    "pillow": Codec(
        "robustcheck.jpeg.pillow", "Pillow", ("cpu",), is_tested=True, faster="robustcheck.jpeg.torchvision"
    ),
    "tensor": Codec("robustcheck.jpeg.tensor", "torch", ("any",)),
}


def check_codec(name: str) -> None:
    """Raise unless `name` is "auto" or a registered codec."""
    allowed = ("auto", *CODECS)
    if not isinstance(name, str):
        raise TypeError(f"codec must be a string, got {type(name).__name__}: one of {', '.join(allowed)}")
    if name not in allowed:
        raise unknown("codec", name, allowed)


def implementation(module: str) -> Implementation:
    """Import the module of an implementation."""
    return cast("Implementation", import_module(module))


def check_device(name: str, device: torch.device) -> None:
    """Raise unless the codec `name` runs on images on `device`."""
    if reason := implementation(CODECS[name].module).unsupported_reason(device):
        raise RobustcheckError(
            f"codec {name!r} needs {CODECS[name].needs}: {reason}. Use codec='tensor', or 'auto' to choose"
        )
