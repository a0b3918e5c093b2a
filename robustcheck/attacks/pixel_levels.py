"""Pixels in whole levels of 0..255: what attacks take and return."""

from __future__ import annotations

import torch
from torch import Tensor

from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier


def whole_levels(epsilon: float) -> int:
    """Return epsilon as an integer number of pixel levels, which 8 bits can hold; raises `RobustcheckError` for another."""
    if not 1 <= epsilon <= 255 or abs(epsilon - round(epsilon)) > 1e-6:
        raise RobustcheckError(
            f"epsilon must be an integer number of pixel levels from 1 to 255, got {epsilon!r}: the result is 8 bits deep, "
            "and rounding would erase or change anything else (8/255 in other tools is epsilon=8 here)"
        )
    return round(epsilon)


def check_images(images: Tensor) -> None:
    """Raise `RobustcheckError` for what is not uint8."""
    if getattr(images, "dtype", None) is not torch.uint8:
        got = getattr(images, "dtype", type(images).__name__)
        raise RobustcheckError(
            f"images must be a uint8 tensor (N, 3, H, W) of pixel levels 0..255, got {got}"
        )


def check_labels(labels: Tensor, count: int, classifier: Classifier) -> None:
    """Raise `RobustcheckError` for what is not a class of the classifier for each of `count` images."""
    classes = classifier.probe()
    kind = getattr(labels, "dtype", type(labels).__name__)
    if kind is not torch.int64 or labels.shape != (count,):
        raise RobustcheckError(
            f"labels must be an int64 tensor of shape ({count},), got {kind} of {len(labels)}"
        )
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise RobustcheckError(
            f"labels must be classes from 0 to {classes - 1}, got {int(labels.min())} to {int(labels.max())}"
        )
