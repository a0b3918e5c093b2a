"""The loss that an attack maximises: a classifier's, through the defences that the attack knows of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812 - what everybody calls it
from torch import Tensor

from robustcheck.attacks.gradient import HasLogits, log_odds_against, loss_gradient
from robustcheck.attacks.seeds import mixed_seeds
from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier

DifferentiableDefence = Callable[[Tensor, Sequence[int]], Tensor]
"""A defence as a gradient goes through it: float pixels 0..255 and a seed for each row, to float pixels."""


def _ignore(_gradient: Tensor) -> None:
    return None


@dataclass
class Objective:
    """A loss for each of M rows, to be maximised.

    It is the log-odds against the label (see `loss_gradient`), or for its target. Rows go through the model
    `batch_size` at a time.
    """

    classifier: HasLogits
    labels: Tensor  # (M,) int64
    targeted: bool = False
    """Whether the labels are targets, whose loss is minimised."""
    defence: DifferentiableDefence | None = None
    samples: int = 1
    """How many draws of what is random (in the defence, or in the model) a gradient is averaged over."""
    seeds: Sequence[int] = ()
    """One for each row, for what the defence draws."""
    batch_size: int = 32
    watch: Callable[[Tensor], None] = _ignore
    """Called with every gradient: float32 (M, 3, H, W)."""
    _draws: int = field(default=0, init=False)

    def gradient(self, pixels: Tensor) -> Tensor:
        """Return the gradient of each row's loss: float32 (M, 3, H, W)."""
        total: Tensor | None = None
        for _ in range(self.samples):
            found = torch.cat(
                [
                    loss_gradient(self.classifier, images, labels, defence=defence).values
                    for images, labels, defence in self._parts(pixels)
                ]
            )
            total = found if total is None else total.add_(found)
        assert total is not None  # noqa: S101 - there is one sample at least
        self.watch(total)
        return total.neg_() if self.targeted else total

    def loss(self, pixels: Tensor) -> Tensor:
        """Return each row's loss, averaged over the samples: float32 (M,)."""
        losses = []
        with torch.no_grad():
            for _ in range(self.samples):
                parts = [
                    log_odds_against(labels, self.classifier.logits(defence(images.float())))
                    for images, labels, defence in self._parts(pixels)
                ]
                losses.append(torch.cat(parts))
        mean = torch.stack(losses).mean(dim=0)
        return -mean if self.targeted else mean

    def _parts(self, pixels: Tensor) -> list[tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]]:
        """Return images, labels and defence of one batch after the other, for one draw of the defence."""
        self._draws += 1
        seeds = mixed_seeds(self.seeds, self._draws) if self.defence is not None else []
        images, labels = (torch.split(rows, self.batch_size) for rows in (pixels, self.labels))
        return [
            (image, label, self._drawn(seeds[at * self.batch_size : (at + 1) * self.batch_size]))
            for at, (image, label) in enumerate(zip(images, labels, strict=True))
        ]

    def _drawn(self, seeds: Sequence[int]) -> Callable[[Tensor], Tensor]:
        defence = self.defence
        return _undefended if defence is None else lambda pixels: defence(pixels, seeds)


def _undefended(pixels: Tensor) -> Tensor:
    return pixels


@dataclass(frozen=True)
class Resized:
    """A classifier that takes images at another's input size, resized on the way in (bilinear, antialiased)."""

    classifier: Classifier

    @property
    def name(self) -> str:
        """The classifier's name."""
        return self.classifier.name

    def logits(self, pixels: Tensor) -> Tensor:
        """Return the logits of the resized pixels."""
        size = self.classifier.input_size
        if tuple(pixels.shape[2:]) != size:
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True).clamp(0, 255)
        return self.classifier.logits(pixels)


def transfer_from(source: Classifier, examined: Classifier) -> HasLogits:
    """Return a model that attacks on another are made on.

    Raises `RobustcheckError` where the two do not know the same number of classes.
    """
    theirs, ours = source.probe(), examined.probe()
    if theirs != ours:
        raise RobustcheckError(
            f"an attack made on {source.name} can't be held against {examined.name}: it knows {theirs} classes, and "
            f"the other {ours}"
        )
    return Resized(source)
