"""Projected gradient descent (Madry et al., arXiv 1706.06083), in 8-bit pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from robustcheck.attacks.gradient import check_gradient
from robustcheck.attacks.gradient_ascent import Ball, ascend
from robustcheck.attacks.noise import mixed_seeds
from robustcheck.attacks.objective import Objective
from robustcheck.attacks.pixel_levels import check_images, check_labels, whole_levels
from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models import Classifier

STEPS = 20
STARTS = ("random", "zero")
REACH = 2.5
"""How far all steps together go, in epsilons, where no step size is given (Madry et al.)."""


def pgd(
    classifier: Classifier,
    images: Tensor,
    *,
    epsilon: float,
    steps: int = STEPS,
    step: float | None = None,
    restarts: int = 1,
    start: Literal["random", "zero"] = "random",
    momentum: float = 0.0,
    labels: Tensor | None = None,
    targets: Tensor | None = None,
    defence: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> Tensor:
    """Return images within `epsilon` levels of the given ones, found by climbing the loss in many small steps.

    `images` are uint8 (N, 3, H, W), and so is the result. `epsilon` is a whole number of pixel levels; `step`
    is in pixel levels too and may be a fraction (None: 2.5 * epsilon / steps), since only the result is
    rounded. Of several `restarts`, each image gets the one with the largest loss. `momentum` is that of
    MI-FGSM (arXiv 1710.06081). `labels`, int64 (N,), are those to get away from (None: the model's own top
    label on these images), `targets` those to come to: give the one or the other. `defence` maps float pixels
    0..255 to float pixels ahead of the model, such as `robustcheck.jpeg.differentiable`: the attack goes
    through it. The model gets `batch_size` images at once.

    Raises `RobustcheckError` as `fgs` does, and for options that contradict each other.
    """
    levels = whole_levels(epsilon)
    check_images(images)
    if start not in STARTS:
        raise unknown("start", start, STARTS)
    if steps < 1 or restarts < 1 or not 0 <= momentum <= 1 or (step is not None and not step > 0):
        raise RobustcheckError(
            f"steps and restarts are 1 or more, step is above 0, momentum is from 0 to 1; got steps={steps}, "
            f"restarts={restarts}, step={step}, momentum={momentum}"
        )
    if start == "zero" and restarts > 1:
        raise RobustcheckError(
            "restarts differ by their random start: give restarts or start='zero', not both"
        )
    if labels is not None and targets is not None:
        raise RobustcheckError("give labels to get away from, or targets to come to, not both")
    aims = labels if targets is None else targets
    clean = images.to(classifier.device)
    if aims is None:
        aims = torch.cat([classifier(part) for part in torch.split(clean, batch_size)]).argmax(dim=1)
    check_labels(aims, len(images), classifier)
    rows = restarts * len(images)
    size = torch.full((rows,), levels, dtype=torch.float32, device=clean.device)
    ball = Ball(clean.repeat(restarts, 1, 1, 1), size)
    objective = Objective(
        classifier,
        aims.to(classifier.device).repeat(restarts),
        toward=targets is not None,
        defence=None if defence is None else lambda pixels, _: defence(pixels),
        batch_size=batch_size,
        watch=lambda values: check_gradient(values, classifier, "on the way from these images"),
    )
    found = ascend(
        ball,
        objective.gradient,
        steps=steps,
        step=size * REACH / steps if step is None else torch.full_like(size, step),
        start=ball.random(mixed_seeds(range(rows), seed)) if start == "random" else None,
        momentum=momentum,
    )
    losses = objective.loss(found) if restarts > 1 else size
    return strongest(found, losses, restarts).to(images.device)


def strongest(images: Tensor, losses: Tensor, restarts: int) -> Tensor:
    """Return, of restarts one behind the other, each image's with the largest loss: (R * N, ...) -> (N, ...)."""
    count = len(images) // restarts
    best = losses.view(restarts, count).argmax(dim=0)
    return images.view(restarts, count, *images.shape[1:])[best, torch.arange(count, device=images.device)]
