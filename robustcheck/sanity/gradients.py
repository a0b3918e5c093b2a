"""Checks of the gradient that attacks follow: where it does not lead uphill, no attack says anything."""

from __future__ import annotations

from robustcheck.attacks import Gradient
from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.diagnostics import MOST_ZEROS, zero_share
from robustcheck.sanity.check import Failed
from robustcheck.sanity.subject import Subject

_NUDGE = 0.1
"""The change of the loss that finite differences are taken over: small for the curvature, large for float32."""
_AGREEMENT = (0.5, 1.5)
"""Finite difference over prediction, in the median; curvature takes some 5 % of it on a healthy network."""


def gradient_reaches_the_pixels(subject: Subject) -> str:
    """The loss has a gradient at the pixels, finite and not vanishing.

    An attack has nothing to follow, and any defence looks good: look for no_grad, detach, rounding or an argmax in the
    forward pass, for outputs that saturate, and for a preprocessing step that has no gradient (then attack it with
    [through=STEP:identity]).
    """
    values = _gradient(subject).values
    if not bool(values.isfinite().all()):
        raise Failed("the gradient at the pixels holds NaN or infinity")
    zeros = zero_share(values)
    if zeros > MOST_ZEROS:
        raise Failed(f"{zeros:.0%} of the gradient of an image is exactly zero")
    return f"finite; at most {zeros:.1%} of an image's is exactly zero"


def gradient_changes_with_the_image(subject: Subject) -> str:
    """Other images have other gradients.

    The gradient is not that of the loss at these pixels: a stored or constant one is put in its place, or the images
    never reach the model.
    """
    values = _gradient(subject).values
    directions = values / values.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, 1, 1, 1)
    near = (directions[1:] * directions[:-1]).flatten(1).sum(dim=1)
    if bool((near > 1 - 1e-5).all()):
        raise Failed("all images have the same gradient, but for its size")
    return f"cosine of neighbours {float(near.min()):.2f} .. {float(near.max()):.2f}"


def gradient_agrees_with_finite_differences(subject: Subject) -> str:
    """The loss grows along its gradient as fast as the gradient says.

    The backward pass is not that of the forward pass (a custom backward, a straight-through estimator, part of the
    network detached): attacks go a way that is not the steepest, and their failure shows nothing.
    """
    values, pixels = _gradient(subject).values, subject.few.float()
    slope = values.abs().sum(dim=(1, 2, 3)).double()
    if float(slope.min()) <= 0:
        raise Failed("the gradient of an image is zero everywhere")
    stride = (_NUDGE / slope).clamp_max(1).float()
    step = values.sign() * stride.view(-1, 1, 1, 1)
    grown = (subject.loss_of(pixels + step) - subject.loss_of(pixels - step)) / 2
    ratio = float((grown / (slope * stride)).median())
    if not _AGREEMENT[0] <= ratio <= _AGREEMENT[1]:
        raise Failed(
            f"along the gradient the loss grows by {ratio:.2f} times what the gradient says (median)"
        )
    return f"grows by {ratio:.2f} times what it says (median)"


def loss_goes_up_along_the_step(subject: Subject) -> str:
    """One level along the gradient's sign raises the loss of nearly every image.

    The attack goes downhill or nowhere: look for a sign that is flipped (a loss that is minimised), a gradient of
    another loss, or labels of other images.
    """
    values, pixels = _gradient(subject).values, subject.few.float()
    moved = (pixels + values.sign()).clamp(0, 255)
    share = float((subject.loss_of(moved) > subject.loss_of(pixels)).double().mean())
    if share < 0.75:
        raise Failed(f"one level along the gradient's sign raises the loss of {share:.0%} of the images only")
    return f"up for {share:.0%} of the images"


def _gradient(subject: Subject) -> Gradient:
    try:
        return subject.gradient
    except RobustcheckError as error:
        raise Failed(str(error)) from None


CHECKS = (
    gradient_reaches_the_pixels,
    gradient_changes_with_the_image,
    gradient_agrees_with_finite_differences,
    loss_goes_up_along_the_step,
)
