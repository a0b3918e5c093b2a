"""How an attack's gradient goes through what stands between it and the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robustcheck import jpeg
from robustcheck.attacks import Passage
from robustcheck.attacks.custom import call_defence
from robustcheck.attacks.noise import mixed_seeds, signs_like
from robustcheck.notation import Span, View, parse, passages


def passage(through: str) -> Passage:
    """Return the defences that a `through` names, one behind the other, as one differentiable function."""
    parts = [_part(parse(text), identity) for text, identity in passages(through)]

    def go(pixels: Tensor, seeds: Sequence[int]) -> Tensor:
        for number, part in enumerate(parts):
            pixels = part(pixels, mixed_seeds(seeds, number))
        return pixels

    return go


def qualities(view: View, seeds: Sequence[int]) -> Tensor | int:
    """Return the JPEG quality of a view: one for all images, or drawn for each from a range by its seed."""
    if not isinstance(view.amount, Span):
        return int(view.number)
    low, high = int(view.amount.low), int(view.amount.high)
    return torch.tensor([low + seed % (high - low + 1) for seed in seeds])


def _part(view: View, identity: bool) -> Passage:
    if view.step == "JPG":
        return lambda pixels, seeds: jpeg.differentiable(
            pixels,
            quality=qualities(view, seeds),
            gradient="straight-through" if identity else "smooth",
        )
    if view.step == "Noise":
        return lambda pixels, seeds: (pixels + view.number * signs_like(pixels, seeds)).clamp(0, 255)
    if identity:
        return lambda pixels, seeds: _straight_through(
            pixels, lambda images: call_defence(view, images, seeds)
        )
    return lambda pixels, seeds: call_defence(view, pixels, seeds)


def _straight_through(pixels: Tensor, defence: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what the defence makes of the 8-bit images, with the identity's gradient (BPDA)."""
    with torch.no_grad():
        change = defence(pixels.round().clamp(0, 255).to(torch.uint8)).to(pixels.dtype) - pixels
    return pixels + change
