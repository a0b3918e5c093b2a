"""What a transform's implementation is given.

An implementation is a function of images and of a `TransformCall`, `(images, call) -> images` of the same shape:

- `call.gradient` is None: uint8 (n, 3, H, W) to uint8.
- "own" or "identity", whichever of the two the registry's row has: float pixels 0..255 to float pixels, with the
  transform's own gradient, or forward the transform of the 8-bit images and backward the identity (BPDA): see
  `straight_through`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustcheck.notation import View
from robustcheck.notation.registry import Gradient


@dataclass(frozen=True)
class TransformCall:
    """A view whose last step is the transform, and what there is for it beside the images."""

    view: View
    seeds: Sequence[int]
    """One per image, for what is drawn at random."""
    gradient: Gradient | None = None
    codec: str = "auto"
    """The JPEG codec; all give the same images."""
    needed: tuple[Tensor, ...] = ()
    """Images of the other views that the row says the view needs: uint8 (n, 3, H, W) each."""


TransformFunction = Callable[[Tensor, TransformCall], Tensor]


def straight_through(pixels: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the transform of the 8-bit images, with the identity's gradient (Athalye, Carlini, Wagner 2018).

    `pixels` are float (n, 3, H, W) in 0..255, and so is the result; `transform` is one of uint8 images.
    """
    with torch.no_grad():
        change = transform(pixels.round().clamp(0, 255).to(torch.uint8)).to(pixels.dtype) - pixels
    return pixels + change
