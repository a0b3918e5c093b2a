"""Noise of the size of JPEG's change, the control that tells its structure from its size: the view `JPG_noise(Adv_1)`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustcheck.attacks.philox import permutations
from robustcheck.transforms.transform import TransformCall


def permute_change(images: Tensor, call: TransformCall) -> Tensor:
    """Return images plus the permuted change that JPEG makes of them: see `robustcheck.transforms.transform`."""
    (recompressed,) = call.needed
    return permuted_noise(images, recompressed, seeds=call.seeds)


def permuted_noise(images: Tensor, changed: Tensor, *, seeds: Sequence[int]) -> Tensor:
    """Return `images` plus the entries of `changed - images` in random order: JPG_noise of arXiv 1608.00853.

    Both are uint8 (N, 3, H, W). The noise has exactly the sizes of the change, at other places, in any
    channel; it is clipped to 0..255.
    """
    change = (changed.to(torch.int16) - images.to(torch.int16)).flatten(1)
    change = change.gather(1, permutations(seeds, change.shape[1], change.device))
    return (images + change.view_as(images)).clamp_(0, 255).to(torch.uint8)
