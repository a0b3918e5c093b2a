"""Fast gradient sign (Goodfellow, Shlens, Szegedy, arXiv 1412.6572), in 8-bit pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robustcheck.attacks.gradient import loss_gradient
from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier


def fgs(classifier: Classifier, images: Tensor, *, epsilon: float, labels: Tensor | None = None) -> Tensor:
    """Return Adv_epsilon(x) = x + epsilon * sign(gradient of the loss at x), as an image file can hold it.

    `images` are uint8 (N, 3, H, W), and so is the result. `epsilon` is in pixel levels of 0..255, at
    least 0.5, and is rounded to whole levels, since the result is 8 bits deep. `labels`, int64 (N,), are
    those whose loss goes up; None means the model's own top label on these images, as in arXiv 1608.00853.

    Raises `RobustcheckError` for an epsilon that rounding would erase or that leaves the range.
    """
    whole_levels(epsilon)
    gradient = loss_gradient(classifier, images.to(classifier.device), labels)
    return add_signs(images, gradient.values.sign().to(images.device), epsilon)


def add_signs(images: Tensor, signs: Tensor, epsilon: float) -> Tensor:
    """Return `images` (uint8) moved by `epsilon` levels along `signs` (-1, 0, 1), kept within 0..255."""
    moved = images.to(torch.int16) + whole_levels(epsilon) * signs.to(torch.int16)
    return moved.clamp_(0, 255).to(torch.uint8)


def whole_levels(epsilon: float) -> int:
    """Return epsilon in whole pixel levels, halves rounded up."""
    if not 0.5 <= epsilon <= 255:
        raise RobustcheckError(
            f"epsilon is in pixel levels, from 0.5 to 255, got {epsilon!r}; less than 0.5 would vanish when "
            "the result is rounded to 8 bits (8/255 in other tools is epsilon=8 here)"
        )
    return math.floor(epsilon + 0.5)
