"""Fast gradient sign (Goodfellow, Shlens, Szegedy, arXiv 1412.6572), in 8-bit pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from robustcheck.attacks.gradient import check_gradient, loss_gradient
from robustcheck.attacks.gradient_ascent import Ball, ascend
from robustcheck.attacks.pixel_levels import check_images, check_labels, whole_levels
from robustcheck.models import Classifier


def fgs(classifier: Classifier, images: Tensor, *, epsilon: float, labels: Tensor | None = None) -> Tensor:
    """Return Adv_epsilon(x) = x + epsilon * sign(gradient of the loss at x), as an image file can hold it.

    `images` are uint8 (N, 3, H, W), and so is the result. `epsilon` is in whole pixel levels of 0..255,
    since the result is 8 bits deep. `labels`, int64 (N,), are those whose loss goes up; None means the
    model's own top label on these images, as in arXiv 1608.00853.

    Raises `RobustcheckError` for an epsilon that rounding would erase or change, for images that are not
    uint8 or not of the classifier's size, and for labels that are none of its classes.
    """
    levels = whole_levels(epsilon)
    check_images(images)
    if labels is not None:
        check_labels(labels, len(images), classifier)
        labels = labels.to(classifier.device)
    clean = images.to(classifier.device)
    size = torch.full((len(images),), levels, dtype=torch.float32, device=clean.device)
    values = loss_gradient(classifier, clean, labels).values
    check_gradient(values, classifier, "at these images")
    moved = ascend(Ball(clean, size), lambda _: values, steps=1, step=size)
    return moved.to(images.device)
