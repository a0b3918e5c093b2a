"""The one loop of all our gradient attacks: gradient, step, back into the ball and into 0..255; 8 bits at the end.

Fast gradient sign is one step of it, of the ball's own size (Goodfellow, Shlens, Szegedy, arXiv 1412.6572); projected
gradient descent is many smaller ones, from a random start (Madry et al., arXiv 1706.06083), with momentum if wanted
(Dong et al., arXiv 1710.06081).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from robustcheck.attacks.objective import Score, last_tenth_of
from robustcheck.attacks.philox import normals, uniforms
from robustcheck.attacks.seeds import mixed_seeds

Norm = Literal["inf", "2"]
_HALVINGS = 30


@dataclass(frozen=True)
class Ball:
    """The images within epsilon of some clean ones, each row with an epsilon of its own, inside 0..255."""

    centre: Tensor  # (M, 3, H, W) uint8
    epsilon: Tensor  # (M,) float32, in pixel levels
    norm: Norm = "inf"

    @classmethod
    def around(cls, images: Tensor, epsilon: float, norm: Norm = "inf") -> Ball:
        """Return the ball with one epsilon for all images."""
        size = torch.full((len(images),), float(epsilon), dtype=torch.float32, device=images.device)
        return cls(images, size, norm)

    def project(self, pixels: Tensor) -> Tensor:
        """Return the nearest images inside: float32 (M, 3, H, W)."""
        change = pixels - self.centre
        if self.norm == "inf":
            change = torch.clamp(change, -self._radius, self._radius)
        else:
            change *= (self._radius / _lengths(change).clamp_min(1e-12)).clamp_max(1)
        return change.add_(self.centre).clamp_(0, 255)

    def random(self, seeds: Sequence[int]) -> Tensor:
        """Return a random image inside, each row from its own seed: uniform, before 0..255 cuts it."""
        size, device = self.centre[0].numel(), self.centre.device
        if self.norm == "inf":
            change = uniforms(seeds, size, device).mul_(2).sub_(1)
        else:
            # Of the direction of normally distributed numbers, and as long as fills the ball evenly.
            change = normals(seeds, size, device)
            reach = uniforms(mixed_seeds(seeds, 0), 1, device) ** (1 / size)
            change *= reach / torch.linalg.vector_norm(change, dim=1, keepdim=True)
        return self.project(change.view(self.centre.shape) * self._radius + self.centre)

    def to_bytes(self, pixels: Tensor) -> Tensor:
        """Return images inside as an image file can hold them: uint8 (M, 3, H, W), and still inside.

        Rounding keeps to an L-inf ball of whole levels. To an L2 ball it does not: there the change is scaled,
        up or down, to the most that is no longer than it was once it is rounded.
        """
        if self.norm == "inf":
            return pixels.round().to(torch.uint8)
        change = pixels - self.centre
        wanted = torch.minimum(_lengths(change), self._radius)
        low, high = torch.zeros_like(wanted), (wanted + 1) / _largest(change).clamp_min(1e-12)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            fits = _lengths(self._rounded(change * middle).float() - self.centre) <= wanted
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        return self._rounded(change * low)

    def _rounded(self, change: Tensor) -> Tensor:
        return (change.round() + self.centre).clamp_(0, 255).to(torch.uint8)

    @property
    def _radius(self) -> Tensor:
        return self.epsilon.view(-1, 1, 1, 1)


class Ascended(Protocol):
    """What is maximised."""

    @property
    def is_random(self) -> bool:
        """Whether equal images may differ in their loss."""

    def gradient(self, pixels: Tensor) -> tuple[Tensor, Score]:
        """Return the gradient at float pixels (M, 3, H, W), and the score there."""

    def scores(self, *images: Tensor) -> list[Score]:
        """Return the scores of uint8 images, by draws that no gradient has seen."""


class StepRule(Protocol):
    """How the gradient is followed."""

    def next(self, ball: Ball, position: Tensor, gradient: Tensor, score: Score | None) -> Tensor:
        """Return the position after the next step, float32 (M, 3, H, W) inside the ball.

        `score` is that of the position, None where it is not known.
        """


@dataclass
class FixedSteps:
    """Steps of one size along the gradient, or along the decaying sum of the gradients so far (MI-FGSM)."""

    step: Tensor  # (M,) float32, in pixel levels
    momentum: float = 0.0
    _velocity: Tensor | None = field(default=None, init=False)

    def next(self, ball: Ball, position: Tensor, gradient: Tensor, _score: Score | None) -> Tensor:
        """Return the position after the next step."""
        if self.momentum:
            gradient = gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-30)
            if self._velocity is not None:
                gradient += self.momentum * self._velocity
            self._velocity = gradient
        return ball.project(position + self.step.view(-1, 1, 1, 1) * steepest(gradient, ball.norm))


@dataclass(frozen=True)
class Ascent:
    """Where an ascent has led."""

    images: Tensor  # (M, 3, H, W) uint8
    score: Score | None = None
    """None where there was nothing to compare."""
    rising: Tensor | None = None
    """bool (M,): see `Score.is_rising_since`; None for a single step, and where draws at random hide it."""


def ascend(
    ball: Ball,
    objective: Ascended,
    rule: StepRule,
    *,
    steps: int,
    start: Tensor | None = None,
    first: Tensor | None = None,
    is_scored: bool = False,
) -> Ascent:
    """Return the best images on the way up inside a ball, by the score of each as an image file holds it.

    `start` is where it begins (None: at the centre), which is not among the images to choose from; `first` is the
    gradient there, or its direction (see `steepest`), if it is known beforehand. Against what is random the
    best one is held against the last by fresh draws, since the luckiest draw would win otherwise. A single step has
    nothing to choose from, and is scored only with `is_scored`.
    """
    position = ball.centre.float() if start is None else start
    before: Score | None = None
    best, done = _Best(), last_tenth_of(steps)
    for number in range(steps):
        if number == 0 and first is not None:
            gradient, score = first, None
        else:
            image = ball.to_bytes(position)
            gradient, score = objective.gradient(image)
            if number:
                best.take(image, score)
            if number == done:
                before = best.score
        position = rule.next(ball, position, gradient, score)
    last = ball.to_bytes(position)
    if steps == 1 and not is_scored:
        return Ascent(last)
    images, score = best.final(last, objective)
    if before is None or objective.is_random:
        return Ascent(images, score)
    return Ascent(images, score, score.is_rising_since(before, done, steps))


class _Best:
    """The best images so far."""

    def __init__(self) -> None:
        self._found: tuple[Tensor, Score] | None = None

    def take(self, images: Tensor, score: Score) -> None:
        if self._found is not None:
            before, score_before = self._found
            better = score.beats(score_before)
            images = torch.where(better.view(-1, 1, 1, 1), images, before)
            score = score.where(better, score_before)
        self._found = images, score

    @property
    def score(self) -> Score | None:
        return self._found and self._found[1]

    def final(self, last: Tensor, objective: Ascended) -> tuple[Tensor, Score]:
        if self._found is not None and objective.is_random:
            images, _ = self._found
            own, score = objective.scores(images, last)
            self._found = images, own
        else:
            (score,) = objective.scores(last)
        self.take(last, score)
        assert self._found is not None  # noqa: S101 - the last was taken just now
        return self._found


def gradient_ascent(
    ball: Ball,
    gradient: Callable[[Tensor], Tensor],
    *,
    steps: int,
    step: Tensor,
    start: Tensor | None = None,
    first: Tensor | None = None,
    momentum: float = 0.0,
) -> Tensor:
    """Return where a function's gradient leads inside a ball: uint8 (M, 3, H, W).

    `gradient` takes float pixels (M, 3, H, W) and returns the gradient there; `step` is the size of a step of
    each row, float32 (M,), in pixel levels. `start` and `first` are those of `ascend`. With `momentum` each step goes
    along the decaying sum of the gradients so far, each divided by its mean size.
    """
    position, rule = ball.centre.float() if start is None else start, FixedSteps(step, momentum)
    for number in range(steps):
        direction = first if number == 0 and first is not None else gradient(position)
        position = rule.next(ball, position, direction, None)
    return ball.to_bytes(position)


def steepest(gradient: Tensor, norm: Norm = "inf") -> Tensor:
    """Return the direction of norm 1 in which a linear function with this gradient grows fastest."""
    if norm == "inf":
        return gradient.sign()
    return gradient / _lengths(gradient).clamp_min(1e-30)


def _lengths(change: Tensor) -> Tensor:
    """Return the L2 norm of each row: (M, 1, 1, 1)."""
    lengths: Tensor = torch.linalg.vector_norm(change, dim=(1, 2, 3), keepdim=True)
    return lengths


def _largest(change: Tensor) -> Tensor:
    return change.abs().amax(dim=(1, 2, 3), keepdim=True)
