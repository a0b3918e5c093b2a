"""Defences that a repository registered."""

from __future__ import annotations

from torch import Tensor

from robustcheck.attacks.custom import call_registered
from robustcheck.transforms.transform import TransformCall, straight_through


def call_function(images: Tensor, call: TransformCall) -> Tensor:
    """Return what a registered defence makes of images: see `robustcheck.transforms.transform`."""
    if call.gradient == "identity":
        return straight_through(images, lambda pixels: call_registered(call.view, pixels, call.seeds))
    return call_registered(call.view, images, call.seeds)
