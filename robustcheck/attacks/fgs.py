"""Fast gradient sign (Goodfellow, Shlens, Szegedy, arXiv 1412.6572), in 8-bit pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from robustcheck.attacks.gradient import loss_gradient
from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier


def fgs(classifier: Classifier, images: Tensor, *, epsilon: float, labels: Tensor | None = None) -> Tensor:
    """Return Adv_epsilon(x) = x + epsilon * sign(gradient of the loss at x), as an image file can hold it.

    `images` are uint8 (N, 3, H, W), and so is the result. `epsilon` is in whole pixel levels of 0..255,
    since the result is 8 bits deep. `labels`, int64 (N,), are those whose loss goes up; None means the
    model's own top label on these images, as in arXiv 1608.00853.

    Raises `RobustcheckError` for an epsilon that rounding would erase or change, for images that are not
    uint8 or not of the classifier's size, and for labels that are none of its classes.
    """
    whole_levels(epsilon)
    if getattr(images, "dtype", None) is not torch.uint8:
        got = getattr(images, "dtype", type(images).__name__)
        raise RobustcheckError(f"images are a uint8 tensor (N, 3, H, W) of pixel levels 0..255, got {got}")
    if labels is not None:
        _check_labels(labels, len(images), classifier)
        labels = labels.to(classifier.device)
    gradient = loss_gradient(classifier, images.to(classifier.device), labels)
    return add_signs(images, gradient.values.sign().to(images.device), epsilon)


def add_signs(images: Tensor, signs: Tensor, epsilon: float) -> Tensor:
    """Return `images` (uint8) moved by `epsilon` levels along `signs` (-1, 0, 1), kept within 0..255."""
    moved = images.to(torch.int16) + whole_levels(epsilon) * signs.to(torch.int16)
    return moved.clamp_(0, 255).to(torch.uint8)


def whole_levels(epsilon: float) -> int:
    """Return epsilon as a whole number of pixel levels, which 8 bits can hold."""
    if not 1 <= epsilon <= 255 or abs(epsilon - round(epsilon)) > 1e-6:
        raise RobustcheckError(
            f"epsilon is a whole number of pixel levels, from 1 to 255, got {epsilon!r}: the result is 8 bits deep, "
            "and rounding would erase or change anything else (8/255 in other tools is epsilon=8 here)"
        )
    return round(epsilon)


def _check_labels(labels: Tensor, count: int, classifier: Classifier) -> None:
    classes = classifier.probe()
    kind = getattr(labels, "dtype", type(labels).__name__)
    if kind is not torch.int64 or labels.shape != (count,):
        raise RobustcheckError(f"labels are an int64 tensor of shape ({count},), got {kind} of {len(labels)}")
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise RobustcheckError(
            f"labels are classes from 0 to {classes - 1}, got {int(labels.min())} to {int(labels.max())}"
        )
