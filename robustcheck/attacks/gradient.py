"""The gradient of the loss with respect to the pixels, which every gradient attack follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from robustcheck.errors import RobustcheckError


class HasLogits(Protocol):
    """What an attack is made on: a `Classifier`, or one that takes images of another size on the way in."""

    @property
    def name(self) -> str:
        """What a person calls it."""

    def logits(self, pixels: Tensor) -> Tensor:
        """Return logits of float pixels 0..255, differentiable with respect to them."""


@dataclass(frozen=True)
class Gradient:
    """One forward and one backward pass over a batch."""

    logits: Tensor  # (N, classes) float32
    values: Tensor  # (N, 3, H, W) float32: of the log-odds against the label, with respect to each pixel


def loss_gradient(
    classifier: HasLogits,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    defence: Callable[[Tensor], Tensor] | None = None,
) -> Gradient:
    """Return logits of the images, and the direction in which each one's cross-entropy grows.

    `images` are (N, 3, H, W), uint8 or float in 0..255; `labels` int64 (N,), or None for the model's own top
    label, as in arXiv 1608.00853, which spares a forward pass of its own. `defence`, if given, maps float
    pixels to float pixels ahead of the model, and the gradient goes through it; then the logits are those of
    the defended images.

    What is differentiated is the log-odds against the label, log((1 - p) / p). Its gradient is that of the
    cross-entropy, -log(p), divided by 1 - p: the same direction, but where the model is sure 1 - p is
    rounding error and then 0, and the sign of the cross-entropy's gradient with it.

    Raises `RobustcheckError` where no gradient reaches the pixels.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        pixels = images.detach().to(torch.float32, copy=True).requires_grad_()
        logits = classifier.logits(pixels if defence is None else defence(pixels))
        targets = logits.argmax(dim=1) if labels is None else labels
        if not logits.requires_grad:
            raise _no_gradient(classifier)
        (values,) = torch.autograd.grad(log_odds_against(targets, logits).sum(), pixels)
    return Gradient(logits.detach(), values)


def log_odds_against(labels: Tensor, logits: Tensor) -> Tensor:
    """Return log((1 - p) / p) for the probability p of each label: float32 (N,)."""
    chosen = labels[:, None]
    others = logits.scatter(1, chosen, -torch.inf)
    return others.logsumexp(dim=1) - logits.gather(1, chosen)[:, 0]


def check_gradient(values: Tensor, classifier: HasLogits, where: str) -> None:
    """Raise `RobustcheckError` for a gradient with NaN or infinity in it, which leads nowhere."""
    if not bool(values.isfinite().all()):
        raise not_finite(classifier, where)


def not_finite(classifier: HasLogits, where: str) -> RobustcheckError:
    """Return the error for a gradient with NaN or infinity in it."""
    return RobustcheckError(
        f"{classifier.name} gave a gradient that is NaN or infinite {where}: no attack can follow it; look for a square "
        "root or norm at 0, a division by zero, or overflow (half precision?) in its forward pass"
    )


def _no_gradient(classifier: HasLogits) -> RobustcheckError:
    return RobustcheckError(
        f"no gradient reaches the pixels through {classifier.name}: its forward pass cuts it (torch.no_grad, "
        ".detach(), numpy or rounding inside); an attack needs a model that autograd can follow"
    )
