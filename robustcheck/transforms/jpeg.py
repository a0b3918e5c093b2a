"""JPEG recompression: the views `JPG`, `JPG_50`, and `JPG_50..90` with a quality drawn for each image."""

from __future__ import annotations

import torch
from torch import Tensor

from robustcheck import jpeg
from robustcheck.notation import Span
from robustcheck.transforms.transform import TransformCall


def recompress(images: Tensor, call: TransformCall) -> Tensor:
    """Return images as JPEG gives them back: see `robustcheck.transforms.transform`."""
    quality = _qualities(call)
    if call.gradient is None:
        return jpeg.roundtrip(images, quality=quality, codec=call.codec)
    return jpeg.differentiable(
        images, quality=quality, gradient="smooth" if call.gradient == "own" else "straight-through"
    )


def _qualities(call: TransformCall) -> Tensor | int:
    """Return the quality: one for all images, or drawn for each from a range by its seed."""
    view = call.view
    if not isinstance(view.amount, Span):
        return int(view.number)
    low, high = int(view.amount.low), int(view.amount.high)
    return torch.tensor([low + seed % (high - low + 1) for seed in call.seeds], device="cpu")
