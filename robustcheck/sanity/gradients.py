"""Checks of the gradient that attacks follow: where it does not lead uphill, no attack says anything."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from robustcheck.attacks import Gradient, loss_gradient
from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.diagnostics import MOST_ZEROS, zero_share
from robustcheck.models.user_network import weights_dtype
from robustcheck.sanity.check import Failed, Skipped
from robustcheck.sanity.subject import Subject

_NUDGE = 0.1
"""The change of the loss that finite differences are taken over: small for the curvature, large for float32."""
_NUDGES = (3e-5, 1e-3, 3e-2)
"""Changes of the loss that random directions are followed for, as shares of the spread of the logits."""
_MISMATCH = 0.25
"""Share of squared changes; sound networks miss some 3 %, one whose gradient is cut there all."""
_NEGLIGIBLE = 0.2
"""Share of the usual change of the loss below which a part hardly matters."""
_COARSE = 8
"""The change of a sample, in pixel levels, that shows on a network which rounds its pixels or logits."""
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
    if zeros > MOST_ZEROS and _loss_depends_on_them(subject, values == 0):
        raise Failed(
            f"{zeros:.0%} of the gradient of an image is exactly zero, and the loss depends on these pixels"
        )
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


def every_part_of_the_image_has_its_gradient(subject: Subject) -> str:
    """In each part of the image, and in each channel, the loss changes as the gradient says.

    The gradient of a part is cut or wrong (a crop, a patch or a channel that is detached, rounded or put through
    another backward pass), and attacks leave that part alone: their failure shows nothing. Random directions in each
    sixteenth of the image and in each channel are compared with finite differences.
    """
    if weights_dtype(subject.classifier.module).itemsize < 4:
        raise Skipped("differences of 16-bit logits are rounding")
    pixels = subject.few.float().clamp(_COARSE, 255 - _COARSE)  # away from where a network may clip them
    values = loss_gradient(subject.classifier, pixels, subject.logits.argmax(dim=1)).values
    worst = {name: _mismatch(subject, pixels, values, part) for name, part in _parts(pixels.shape[2:])}
    name = max(worst, key=worst.__getitem__)
    if worst[name] > _MISMATCH:
        raise Failed(f"in {name} the gradient misses {min(worst[name], 1):.0%} of what the loss changes by")
    return f"at most {worst[name]:.0%} of the change is missing, in {name}"


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


def _parts(size: torch.Size) -> Iterator[tuple[str, Tensor]]:
    """Yield the channels and the sixteenths of an image, as masks (3, H, W)."""
    for channel, name in enumerate(("red", "green", "blue")):
        part = torch.zeros(3, *size)
        part[channel] = 1
        yield f"the {name} channel", part
    rows, columns = (torch.arange(length).mul(4).div(length, rounding_mode="floor") for length in size)
    for row, column in product(range(4), repeat=2):
        part = ((rows == row)[:, None] & (columns == column)).expand(3, *size).float()
        if part.any():
            yield f"block {row + 1}, {column + 1} of 4 x 4", part


def _mismatch(subject: Subject, pixels: Tensor, values: Tensor, part: Tensor) -> float:
    """Return the share of the loss's squared changes along random directions in a part that its gradient misses.

    The least of several step sizes counts: deep networks bend within a hundredth of a level, and small ones round.
    """
    direction = random_signs(pixels.shape) * part
    found = []
    for nudge in _NUDGES:
        share = _missing(subject, pixels, values, direction.to(pixels.device), nudge)
        if share <= _MISMATCH / 2:
            return share
        found.append(share)
    return min(found)


def _missing(subject: Subject, pixels: Tensor, values: Tensor, direction: Tensor, nudge: float) -> float:
    logits = subject.logits
    change = nudge * float((logits.amax(dim=1) - logits.amin(dim=1)).mean())
    size = direction[0].count_nonzero().sqrt()
    usual = (values.flatten(1).norm(dim=1) / values[0].numel() ** 0.5 * size).double()
    step = (change / usual.clamp_min(1e-12)).clamp_max(_COARSE)
    along = direction * step.view(-1, 1, 1, 1).float()
    grown = (subject.loss_of(pixels + along) - subject.loss_of(pixels - along)) / 2
    said = (along * values).flatten(1).double().sum(dim=1)
    if not bool(grown.any()) and nudge != _NUDGES[-1]:
        return float("inf")  # too small a step to tell
    least = (_NEGLIGIBLE * step * usual).square().sum()
    return float((grown - said).square().sum() / (grown.square().sum() + least).clamp_min(1e-30))


def _loss_depends_on_them(subject: Subject, without: Tensor) -> bool:
    """Whether random signs on the samples without a gradient change the loss nearly as much as signs on all samples.

    They do not where half of a small network's units are dead.
    """
    signs = random_signs(subject.few.shape).to(without.device) * _COARSE
    loss = subject.loss_of(subject.few.float())
    changes = [
        (subject.loss_of((subject.few + signs * chosen).clamp(0, 255)) - loss).abs()
        for chosen in (without, torch.ones_like(without))
    ]
    many = without.flatten(1).double().mean(dim=1) > MOST_ZEROS
    return float(changes[0][many].sum()) >= 0.5 * float(changes[1][many].sum())


def random_signs(shape: torch.Size, seed: int = 0) -> Tensor:
    """Return float32 of a shape, each -1 or 1, the same for a seed on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, shape, generator=generator).mul_(2).sub_(1).float()


def _gradient(subject: Subject) -> Gradient:
    try:
        return subject.gradient
    except RobustcheckError as error:
        raise Failed(str(error)) from None


CHECKS = (
    gradient_reaches_the_pixels,
    gradient_changes_with_the_image,
    gradient_agrees_with_finite_differences,
    every_part_of_the_image_has_its_gradient,
    loss_goes_up_along_the_step,
)
