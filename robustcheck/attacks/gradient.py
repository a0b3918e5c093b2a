"""The gradient of the loss with respect to the pixels, which every gradient attack follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from robustcheck.attacks.losses import LOSSES
from robustcheck.errors import RobustcheckError
from robustcheck.models.user_network import NetworkError
from robustcheck.text import first_line


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
    values: Tensor  # (N, 3, H, W) float32: of the loss of the label, with respect to each pixel


def loss_gradient(
    classifier: HasLogits,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    defence: Callable[[Tensor], Tensor] | None = None,
    loss: str = "log_odds",
) -> Gradient:
    """Return logits of the images, and the direction in which each one's loss grows.

    `images` are (N, 3, H, W), uint8 or float in 0..255; `labels` int64 (N,), or None for the model's own top
    label, as in arXiv 1608.00853, which spares a forward pass of its own. `defence`, if given, maps float
    pixels to float pixels ahead of the model, and the gradient goes through it; then the logits are those of
    the defended images.

    `loss` is one of `robustcheck.attacks.losses`. That of the log-odds against the label, log((1 - p) / p), has the
    gradient of the cross-entropy, -log(p), divided by 1 - p: the same direction, but where the model is sure 1 - p is
    rounding error and then 0, and the sign of the cross-entropy's gradient with it.

    The caller's grad mode does not matter, nor that of whoever made images and labels.

    Raises `RobustcheckError` where no gradient reaches the pixels, and where the backward pass fails.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        pixels = images.detach().to(torch.float32, copy=True).requires_grad_()
        try:
            logits, total = _forward(classifier, pixels, labels, defence, loss)
            try:
                (values,) = torch.autograd.grad(total, pixels)
            except Exception as error:
                if "use_reentrant" not in str(error):
                    raise _backward_error(classifier, pixels, error) from error
                values = _gradient_by_backward(classifier, pixels, labels, defence, loss)
        except RuntimeError as error:
            if "Inference tensors" in str(error):
                raise _made_for_inference(classifier) from None
            raise
    return Gradient(logits.detach(), values)


def _forward(
    classifier: HasLogits,
    pixels: Tensor,
    labels: Tensor | None,
    defence: Callable[[Tensor], Tensor] | None,
    loss: str,
) -> tuple[Tensor, Tensor]:
    """Return logits, and the sum of the images' losses."""
    logits = classifier.logits(pixels if defence is None else defence(pixels))
    if not logits.requires_grad:
        raise _no_gradient(classifier, "" if defence is None else " and the defence ahead of it")
    targets = logits.argmax(dim=1) if labels is None else labels.clone()  # autograd saves no inference tensor
    return logits, LOSSES[loss](targets, logits).sum()


def _gradient_by_backward(
    classifier: HasLogits,
    pixels: Tensor,
    labels: Tensor | None,
    defence: Callable[[Tensor], Tensor] | None,
    loss: str,
) -> Tensor:
    """Return the gradient as `backward()` leaves it in the pixels, which is all that reentrant checkpointing allows."""
    leaf = pixels.detach().requires_grad_()
    _, total = _forward(classifier, leaf, labels, defence, loss)
    total.backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None  # noqa: S101 - the logits depend on it
    return leaf.grad


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


def _backward_error(classifier: HasLogits, pixels: Tensor, error: Exception) -> Exception:
    """Return the error to raise for one in the backward pass: what says enough itself, or where it was and what to do."""
    if isinstance(error, (RobustcheckError, torch.OutOfMemoryError)):
        return error
    return NetworkError(
        f"{classifier.name} failed in the backward pass on images {tuple(pixels.shape)}: {type(error).__name__}: "
        f"{first_line(error)}; see that torch.autograd.grad(net(x).sum(), x) works on such images, or evaluate "
        "views without attacks on it"
    )


def _made_for_inference(classifier: HasLogits) -> RobustcheckError:
    return RobustcheckError(
        f"{classifier.name}, or a defence ahead of it, holds tensors made under torch.inference_mode, through which no "
        "gradient goes: make and load the network outside of it"
    )


def _no_gradient(classifier: HasLogits, defended: str) -> RobustcheckError:
    return RobustcheckError(
        f"no gradient reaches the pixels through {classifier.name}{defended}: the forward pass cuts it (torch.no_grad, "
        ".detach(), numpy or rounding inside); an attack needs a model that autograd can follow"
    )
