"""Projected gradient descent (Madry et al., arXiv 1706.06083), in 8-bit pixels: the view `PGD_8`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustcheck.attacks.batch import AttackBatch
from robustcheck.attacks.gradient import check_gradient
from robustcheck.attacks.gradient_ascent import Ball, Norm, gradient_ascent
from robustcheck.attacks.objective import Objective
from robustcheck.attacks.pixel_levels import check_images, check_labels, whole_levels
from robustcheck.attacks.seeds import mixed_seeds
from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models import Classifier
from robustcheck.notation import View

_STARTS = ("random", "zero")
TOTAL_STEP_RATIO = 2.5
"""Length of all steps together, in epsilons, if no step size is given (Madry et al.)."""


def pgd(
    classifier: Classifier,
    images: Tensor,
    *,
    epsilon: float,
    steps: int = 20,
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
    """Return images within `epsilon` levels of the given ones, found by many small steps up the loss.

    Args:
        classifier: the classifier that is attacked; it gets `batch_size` images at once.
        images: uint8 (N, 3, H, W), in pixel levels 0..255.
        epsilon: a whole number of pixel levels.
        steps: how many steps, >= 1.
        step: size of a step in pixel levels, which may be a fraction, since only the result is rounded; None for
            2.5 * epsilon / steps.
        restarts: how many random starts, >= 1; each image gets the result with the largest loss.
        start: "random", or "zero" for the images themselves.
        momentum: that of MI-FGSM (arXiv 1710.06081), 0..1.
        labels: int64 (N,), those whose loss is maximised; None for the model's own top label on these images.
        targets: int64 (N,), classes to be predicted instead; give labels or targets.
        defence: float pixels 0..255 to float pixels ahead of the model, such as `robustcheck.jpeg.differentiable`; the
            gradient goes through it.
        seed: of the random starts.
        batch_size: images per forward pass.

    Returns:
        uint8 (N, 3, H, W) on the device of `images`.

    Raises:
        RobustcheckError: as for `fgs`, and for options that contradict each other.
    """
    levels = whole_levels(epsilon)
    check_images(images)
    _check_options(steps=steps, step=step, restarts=restarts, start=start, momentum=momentum)
    if labels is not None and targets is not None:
        raise RobustcheckError("give labels (untargeted) or targets (targeted), not both")
    aims = labels if targets is None else targets
    clean = images.to(classifier.device)
    if aims is None:
        aims = torch.cat([classifier(part) for part in torch.split(clean, batch_size)]).argmax(dim=1)
    check_labels(aims, len(images), classifier)

    def objective(rows: Tensor, _seeds: Sequence[int]) -> Objective:
        return Objective(
            classifier,
            rows,
            targeted=targets is not None,
            defence=None if defence is None else lambda pixels, _: defence(pixels),
            batch_size=batch_size,
            watch=lambda values: check_gradient(values, classifier, "on the way from these images"),
        )

    attack = Attack(
        clean,
        aims.to(classifier.device),
        epsilon=levels,
        step=step_size(levels, steps) if step is None else step,
        seeds=mixed_seeds(range(restarts * len(images)), seed),
        is_random=start == "random",
    )
    (found,) = attack_together([attack], objective, steps=steps, restarts=restarts, momentum=momentum)
    return found.to(images.device)


def _check_options(*, steps: int, step: float | None, restarts: int, start: str, momentum: float) -> None:
    if start not in _STARTS:
        raise unknown("start", start, _STARTS)
    if steps < 1 or restarts < 1 or not 0 <= momentum <= 1 or (step is not None and not step > 0):
        raise RobustcheckError(
            f"steps and restarts must be >= 1, step > 0, momentum from 0 to 1; got steps={steps}, restarts={restarts}, "
            f"step={step}, momentum={momentum}"
        )
    if start == "zero" and restarts > 1:
        raise RobustcheckError(
            "restarts differ by their random start: give restarts or start='zero', not both"
        )


def adversarial_images(batch: AttackBatch, views: Sequence[View]) -> list[Tensor]:
    """Return the images of views `PGD_e` that differ only in what an `Attack` holds: see `robustcheck.attacks.batch`."""
    common = views[0].options
    shared = all(view.declared.shares_gradient(view) for view in views)

    def objective(labels: Tensor, seeds: Sequence[int]) -> Objective:
        return batch.objective(views[0], labels, mixed_seeds(seeds, 0))

    attacks = [
        Attack(
            batch.images[view.source],
            batch.labels_of(view),
            epsilon=view.number,
            step=view.options.step or step_size(view.number, common.steps),
            seeds=[seed for number in range(common.restarts) for seed in batch.seeds(f"{view} {number}")],
            is_random=view.options.start == "random",
            first=batch.direction(view) if shared else None,
        )
        for view in views
    ]
    return attack_together(
        attacks,
        objective,
        norm=common.norm,
        steps=common.steps,
        restarts=common.restarts,
        momentum=common.momentum,
    )


@dataclass(frozen=True)
class Attack:
    """The images of one attack, and that in which attacks may differ which are run together."""

    images: Tensor  # uint8 (n, 3, H, W)
    labels: Tensor  # int64 (n,), or targets
    epsilon: float
    step: float
    """Size of a step, in pixel levels."""
    seeds: Sequence[int]
    """One for each image of each restart: (restarts * n,)."""
    is_random: bool = True
    """Whether it starts at a random image of the ball rather than at the image itself."""
    first: Tensor | None = None
    """The direction of the first step, if it is known: (n, 3, H, W)."""


def attack_together(
    attacks: Sequence[Attack],
    objective_of: Callable[[Tensor, Sequence[int]], Objective],
    *,
    norm: Norm = "inf",
    steps: int,
    restarts: int = 1,
    momentum: float = 0.0,
) -> list[Tensor]:
    """Run attacks on equally many images at once: each image of each restart of each attack is a row.

    `objective_of` returns the loss for the labels and seeds of the rows. The attacks have a first direction all, or none.

    Returns:
        for each attack, of each image the restart with the largest loss: uint8 (n, 3, H, W).
    """
    rows = [attack for attack in attacks for _ in range(restarts)]
    seeds = [seed for attack in attacks for seed in attack.seeds]
    ball = Ball(
        torch.cat([row.images for row in rows]), torch.cat([_each(row, row.epsilon) for row in rows]), norm
    )
    objective = objective_of(torch.cat([row.labels for row in rows]), seeds)
    directions = [row.first for row in rows if row.first is not None]
    found = gradient_ascent(
        ball,
        objective.gradient,
        steps=steps,
        step=torch.cat([_each(row, row.step) for row in rows]),
        start=_start(ball, rows, seeds),
        first=torch.cat(directions) if directions else None,
        momentum=momentum,
    )
    losses = objective.loss(found) if restarts > 1 else ball.epsilon  # of one, any order will do
    by_attack = zip(found.chunk(len(attacks)), losses.chunk(len(attacks)), strict=True)
    return [best_restart(images, own, restarts) for images, own in by_attack]


def step_size(epsilon: float, steps: int) -> float:
    """Return the size of each of some steps, in pixel levels, that lead well across the ball."""
    return TOTAL_STEP_RATIO * epsilon / steps


def best_restart(images: Tensor, losses: Tensor, restarts: int) -> Tensor:
    """Return, of restarts one after the other, each image's with the largest loss: (R * N, ...) -> (N, ...)."""
    count = len(images) // restarts
    best = losses.view(restarts, count).argmax(dim=0)
    return images.view(restarts, count, *images.shape[1:])[best, torch.arange(count, device=images.device)]


def _start(ball: Ball, rows: Sequence[Attack], seeds: Sequence[int]) -> Tensor | None:
    if not any(row.is_random for row in rows):
        return None
    is_random = torch.cat([_each(row, row.is_random) for row in rows]).bool()
    return torch.where(is_random.view(-1, 1, 1, 1), ball.random(seeds), ball.centre.float())


def _each(attack: Attack, value: float) -> Tensor:
    return torch.full((len(attack.images),), float(value), device=attack.images.device)
