"""The one loop of all our gradient attacks: gradient, step, back into the ball and into 0..255; 8 bits at the end.

Fast gradient sign is one step of it, of the ball's own size (Goodfellow, Shlens, Szegedy, arXiv 1412.6572); projected
gradient descent is many smaller ones, from a random start (Madry et al., arXiv 1706.06083), with momentum if wanted
(Dong et al., arXiv 1710.06081).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from robustcheck.models import send

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
        size = self.centre[0].numel()
        rows = []
        for seed in seeds:
            generator = np.random.Generator(np.random.Philox(seed))
            if self.norm == "inf":
                row = generator.random(size, dtype=np.float32) * 2 - 1
            else:
                row = generator.standard_normal(size, dtype=np.float32)
                row *= generator.random() ** (1 / size) / np.linalg.norm(row)
            rows.append(row)
        change = send(torch.from_numpy(np.stack(rows)).view(self.centre.shape), self.centre.device)
        return self.project(change * self._radius + self.centre)

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
    each row, float32 (M,), in pixel levels. `start` is where it begins (None: at the centre); `first` is the
    direction (see `steepest`) of the first step, if it is known beforehand. With `momentum` each step goes along
    the decaying sum of the gradients so far, each divided by its mean size.
    """
    position = ball.centre.float() if start is None else start
    stride = step.view(-1, 1, 1, 1)
    velocity: Tensor | None = None
    for number in range(steps):
        if number == 0 and first is not None:
            direction = first
        else:
            found = gradient(position)
            if momentum:
                found = found / found.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-30)
                velocity = found if velocity is None else velocity.mul_(momentum).add_(found)
                found = velocity
            direction = steepest(found, ball.norm)
        position = ball.project(position + stride * direction)
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
