"""Random signs of an attack's size, the control that tells its direction from its size: the view `Noise_2`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustcheck.attacks.arguments import whole_levels
from robustcheck.attacks.philox import signs
from robustcheck.transforms.transform import TransformCall


def add_random_signs(images: Tensor, call: TransformCall) -> Tensor:
    """Return images with each sample moved up or down at random: see `robustcheck.transforms.transform`."""
    epsilon = call.view.number
    if call.gradient is None:
        return random_signs(images, epsilon=epsilon, seeds=call.seeds)
    return (images + epsilon * _signs_like(images, call.seeds)).clamp(0, 255)


def random_signs(images: Tensor, *, epsilon: float, seeds: Sequence[int]) -> Tensor:
    """Return `images` (uint8 (N, 3, H, W)) with each sample moved up or down by epsilon levels at random."""
    moved = images.to(torch.int16) + whole_levels(epsilon) * _signs_like(images, seeds).to(torch.int16)
    return moved.clamp_(0, 255).to(torch.uint8)


def _signs_like(images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return random signs (-1, 1) of the shape of `images` and on its device, each row from its own seed: int8."""
    return signs(seeds, images[0].numel(), images.device).view(images.shape)
