"""Fast gradient sign (Goodfellow, Shlens, Szegedy, arXiv 1412.6572), in 8-bit pixels: the view `Adv_1`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from robustcheck.attacks.arguments import check_classifier, check_images, check_labels, whole_levels
from robustcheck.attacks.batch import AttackBatch
from robustcheck.attacks.gradient import check_gradient, loss_gradient
from robustcheck.attacks.gradient_ascent import Ball, gradient_ascent, steepest
from robustcheck.eager import reads_values
from robustcheck.models import Classifier
from robustcheck.notation import View


@reads_values
def fgs(classifier: Classifier, images: Tensor, *, epsilon: float, labels: Tensor | None = None) -> Tensor:
    """Return Adv_epsilon(x) = x + epsilon * sign(gradient of the loss at x), as an image file can hold it.

    The network is in eval mode meanwhile, and outside any `torch.autocast`; afterwards it is as it was.

    Args:
        classifier: the classifier that is attacked.
        images: uint8 (N, 3, H, W), in pixel levels 0..255.
        epsilon: a whole number of pixel levels, since the result is 8 bits deep.
        labels: int64 (N,), those whose loss is maximised; None for the model's own top label on these images, as in
            arXiv 1608.00853.

    Returns:
        uint8 (N, 3, H, W) on the device of `images`.

    Raises:
        RobustcheckError: what is not a `Classifier`; an epsilon that rounding would erase or change; images that are
            not uint8, not of the classifier's size, or none; labels that are not classes of the classifier; a network
            that autograd cannot follow.
    """
    check_classifier(classifier)
    levels = whole_levels(epsilon)
    check_images(images, classifier)
    clean = images.to(classifier.device)
    with classifier.evaluating():
        if labels is not None:
            check_labels(labels, images, classifier)
            labels = labels.to(classifier.device)
        values = loss_gradient(classifier, clean, labels).values
    check_gradient(values, classifier, "at these images")
    return _one_step(Ball.around(clean, levels), steepest(values)).to(images.device)


def adversarial_images(batch: AttackBatch, views: Sequence[View]) -> list[Tensor]:
    """Return the images of views `Adv_e`: see `robustcheck.attacks.batch`."""
    return [
        _one_step(
            Ball.around(batch.images[view.source], view.number, view.options.norm), batch.direction(view)
        )
        for view in views
    ]


def _one_step(ball: Ball, direction: Tensor) -> Tensor:
    """Return the images one step away, as long as the ball is wide."""
    return gradient_ascent(ball, _no_gradient, steps=1, step=ball.epsilon, first=direction)


def _no_gradient(_pixels: Tensor) -> Tensor:
    raise AssertionError("a single step in a known direction needs no gradient")
