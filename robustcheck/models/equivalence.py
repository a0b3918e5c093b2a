"""Whether two ways to run a network compute the same function, found on images.

Another memory layout, or batch normalisation folded into convolutions, changes logits by rounding alone. Gradients
move more: rounding takes some values to the other side of the kinks of ReLU and max-pooling, as it does between
float32 and float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

MAX_LOGIT_CHANGE = 1e-5
"""Largest change of a logit, as a share of the largest logit of the batch."""
MIN_COSINE = 0.999
"""Between the two gradients of each image."""
MIN_EQUAL_SIGNS = 0.995
"""Share of the signs of the gradients of a batch, which are what an attack follows."""

Logits = Callable[[Tensor], Tensor]
"""Takes float pixels (N, 3, H, W), and returns logits (N, classes) that can be differentiated."""


def equivalent(reference: Logits, other: Logits, batches: Iterable[Tensor], *, is_16_bit: bool) -> bool:
    """Return whether two functions have the same logits and gradients on some batches of uint8 images.

    Batches are taken in turn, so that a function that depends on the batch before is found out. Where weights have 16
    bits, logits may change by as much as the reference's own do between two batch sizes.
    """
    return all(_agree(reference, other, images.float(), is_16_bit=is_16_bit) for images in batches)


def _agree(reference: Logits, other: Logits, pixels: Tensor, *, is_16_bit: bool) -> bool:
    (expected, slope), (found, other_slope) = _run(reference, pixels), _run(other, pixels)
    allowed = MAX_LOGIT_CHANGE * expected.abs().max()
    if is_16_bit:
        alone = torch.cat([_run(reference, image)[0] for image in torch.split(pixels, 1)])
        allowed = torch.maximum(allowed, (alone - expected).abs().max())
    if not bool((found - expected).abs().max() <= allowed):  # a NaN on either side agrees with nothing
        return False
    if slope is None or other_slope is None:
        return slope is other_slope
    return _same_gradients(slope.flatten(1).double(), other_slope.flatten(1).double())


def _run(logits: Logits, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return logits, and the gradient of the log-odds against each top label, which attacks follow; None for none."""
    pixels = pixels.clone().requires_grad_()
    found = logits(pixels)
    if not found.requires_grad:
        return found, None
    top = found.detach().argmax(dim=1, keepdim=True)
    odds = found.scatter(1, top, -torch.inf).logsumexp(dim=1) - found.gather(1, top)[:, 0]
    return found.detach(), torch.autograd.grad(odds.sum(), pixels)[0]


def _same_gradients(one: Tensor, other: Tensor) -> bool:
    """Whether gradients (N, pixels) point the same way, image by image; zero is like zero alone."""
    lengths = one.norm(dim=1) * other.norm(dim=1)
    both_zero = (one == 0).all(dim=1) & (other == 0).all(dim=1)
    cosines = (one * other).sum(dim=1) / lengths.clamp_min(1e-300)
    signs = (one.sign() == other.sign()).double().mean()
    return bool(((cosines >= MIN_COSINE) | both_zero).all() & (signs >= MIN_EQUAL_SIGNS))
