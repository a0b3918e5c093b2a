"""Auto-PGD (Croce and Hein, arXiv 2003.01690), in 8-bit pixels: the view `APGD_8`.

Steps of two epsilons at first, with momentum. At checkpoints, ever more often, each image whose loss has stalled goes
back to its best position and halves its step; no step size has to be chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robustcheck.attacks.arguments import whole_levels
from robustcheck.attacks.batch import AttackBatch
from robustcheck.attacks.call import run_call
from robustcheck.attacks.gradient_ascent import Ball, steepest
from robustcheck.attacks.losses import LossName
from robustcheck.attacks.objective import Score
from robustcheck.attacks.restarts import climb
from robustcheck.models import Classifier
from robustcheck.notation import View, view_of_call

_MOMENTUM = 0.25
_RISES = 0.75
"""Share of the steps since the last checkpoint that have to raise the loss, or the step is halved."""
_FIRST, _SHORTER, _SHORTEST = 22, 3, 6
"""Percentages of all steps: to the first checkpoint, by which each distance is shorter than the last, and the least."""


def apgd(
    classifier: Classifier,
    images: Tensor,
    *,
    epsilon: float,
    steps: int = 50,
    restarts: int = 1,
    loss: LossName = "scaled_log_odds",
    labels: Tensor | None = None,
    targets: Tensor | None = None,
    defence: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> Tensor:
    """Return images within `epsilon` levels of the given ones, found by steps that halve where the loss stalls.

    The network is in eval mode meanwhile, and outside any `torch.autocast`; afterwards it is as it was.

    Args:
        classifier: the classifier that is attacked; it gets `batch_size` images at once.
        images: uint8 (N, 3, H, W), in pixel levels 0..255.
        epsilon: a whole number of pixel levels.
        steps: how many steps, and gradients, >= 1.
        restarts: as for `pgd`.
        loss: as for `pgd`.
        labels: as for `pgd`.
        targets: as for `pgd`.
        defence: as for `pgd`.
        seed: of the random starts.
        batch_size: images per forward pass.

    Returns:
        uint8 (N, 3, H, W) on the device of `images`.

    Raises:
        RobustcheckError: as for `pgd`.
    """
    view = view_of_call("APGD", whole_levels(epsilon), {"steps": steps, "restarts": restarts, "loss": loss})
    return run_call(
        view,
        classifier,
        images,
        labels=labels,
        targets=targets,
        defence=defence,
        seed=seed,
        batch_size=batch_size,
    )


def adversarial_images(batch: AttackBatch, views: Sequence[View]) -> list[Tensor]:
    """Return the images of views `APGD_e` that differ only in their aim: see `robustcheck.attacks.batch`."""
    return climb(batch, views, AdaptiveSteps(views[0].options.steps))


def checkpoints(steps: int) -> list[int]:
    """Return the numbers of the steps at which step sizes are looked at.

    >>> checkpoints(50)
    [11, 21, 29, 35, 40, 44, 47]
    """
    found, before, at = [], 0, _FIRST
    while at < 100:
        found.append(-(-at * steps // 100))
        before, at = at, at + max(at - before - _SHORTER, _SHORTEST)
    return [number for number in found if number < steps]


class AdaptiveSteps:
    """The steps of Auto-PGD: a `StepRule`."""

    def __init__(self, steps: int) -> None:
        self._checkpoints, self._number = {*checkpoints(steps)}, 0
        self._step, self._previous, self._loss, self._rises = (torch.empty(0),) * 4
        self._best: tuple[Tensor, Tensor, Tensor] = (torch.empty(0),) * 3  # loss, position, gradient
        self._last_checkpoint = 0
        self._loss_then, self._halved_then = torch.empty(0), torch.empty(0)

    def next(self, ball: Ball, position: Tensor, gradient: Tensor, score: Score | None) -> Tensor:
        """Return the position after the next step."""
        if score is None:
            raise AssertionError("every step of Auto-PGD needs the loss before it")
        if self._number == 0:
            self._begin(ball, position, gradient, score.loss)
        else:
            self._note(position, gradient, score.loss)
        if self._number in self._checkpoints:
            position, gradient = self._restarted(position, gradient)
        ahead = ball.project(position + self._step.view(-1, 1, 1, 1) * steepest(gradient, ball.norm))
        if self._number:
            kept = 1 - _MOMENTUM
            ahead = ball.project(
                position + kept * (ahead - position) + _MOMENTUM * (position - self._previous)
            )
        self._previous = position
        self._number += 1
        return ahead

    def _begin(self, ball: Ball, position: Tensor, gradient: Tensor, loss: Tensor) -> None:
        self._step, self._previous, self._loss = 2 * ball.epsilon, position, loss
        self._best = loss, position, gradient
        self._rises = torch.zeros_like(loss)
        self._loss_then, self._halved_then = loss, torch.zeros_like(loss, dtype=torch.bool)

    def _note(self, position: Tensor, gradient: Tensor, loss: Tensor) -> None:
        self._rises += loss > self._loss
        self._loss = loss
        best_loss, best_position, best_gradient = self._best
        better = loss > best_loss
        pixels = better.view(-1, 1, 1, 1)
        self._best = (
            torch.where(better, loss, best_loss),
            torch.where(pixels, position, best_position),
            torch.where(pixels, gradient, best_gradient),
        )

    def _restarted(self, position: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Halve the steps of the images whose loss has stalled, and return position and gradient to go on from."""
        best_loss, best_position, best_gradient = self._best
        few_rises = self._rises < _RISES * (self._number - self._last_checkpoint)
        stalled = few_rises | (~self._halved_then & (best_loss <= self._loss_then))
        self._step = torch.where(stalled, self._step / 2, self._step)
        self._last_checkpoint, self._rises = self._number, torch.zeros_like(self._rises)
        self._loss_then, self._halved_then = best_loss, stalled
        self._loss = torch.where(stalled, best_loss, self._loss)
        pixels = stalled.view(-1, 1, 1, 1)
        self._previous = torch.where(pixels, best_position, self._previous)
        return torch.where(pixels, best_position, position), torch.where(pixels, best_gradient, gradient)
