"""The loss that an attack maximises: a classifier's, through the defences that the attack knows of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812 - what everybody calls it
from torch import Tensor

from robustcheck.attacks.gradient import HasLogits, loss_gradient
from robustcheck.attacks.losses import LOSSES, margin_over
from robustcheck.attacks.seeds import mixed_seeds
from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier
from robustcheck.models.class_names import moved_classes

DifferentiableDefence = Callable[[Tensor, Sequence[int]], Tensor]
"""A defence as a gradient goes through it: float pixels 0..255 and a seed for each row, to float pixels."""


FRESH_DRAWS = 8
"""Draws of what is random that images are compared by, at least, once they are found."""

_TENTHS = 10


def last_tenth_of(steps: int) -> int:
    """Return after how many steps the last tenth begins, which is one step at least.

    >>> [last_tenth_of(steps) for steps in (1, 2, 20, 25)]
    [0, 1, 18, 22]
    """
    return steps - -(-steps // _TENTHS)


def _ignore(_gradient: Tensor) -> None:
    return None


@dataclass(frozen=True)
class Score:
    """How far an attack has come on each of M images; success goes before loss."""

    succeeded: Tensor
    """(M,): 1 where the label is lost, or the target predicted, else 0; a share of the draws, if there are several."""
    loss: Tensor
    """(M,): what the attack maximises."""
    margin: Tensor
    """(M,): by how much the largest other logit is above the label's, or the target's above the others: success is above 0."""

    def beats(self, other: Score) -> Tensor:
        """Return for each image whether this is more than another: bool (M,)."""
        is_equal = self.succeeded == other.succeeded
        return (self.succeeded > other.succeeded) | (is_equal & (self.loss > other.loss))

    def where(self, condition: Tensor, other: Score) -> Score:
        """Return this where a condition holds, else another."""
        return Score(
            *(torch.where(condition, mine, theirs) for mine, theirs in zip(self, other, strict=True))
        )

    def is_rising_since(self, before: Score, done: int, steps: int) -> Tensor:
        """Return where an attack has not succeeded, and as many steps again would if the margin rose as it last did.

        bool (M,). This is the score after all `steps`, `before` that after `done` of them.
        """
        rise = (self.margin - before.margin) * (steps / (steps - done))
        return (self.succeeded == 0) & (rise > -self.margin)

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.succeeded, self.loss, self.margin))


@dataclass
class Objective:
    """A loss for each of M rows, to be maximised.

    It is a loss of the label (see `robustcheck.attacks.losses`), or minus that of its target. Rows go through the model
    `batch_size` at a time.
    """

    classifier: HasLogits
    labels: Tensor  # (M,) int64
    targeted: bool = False
    """Whether the labels are targets, whose loss is minimised."""
    loss: str = "log_odds"
    defence: DifferentiableDefence | None = None
    is_random: bool = False
    """Whether equal images may differ in their loss, by what the defence or the model draws."""
    samples: int = 1
    """How many draws of what is random (in the defence, or in the model) a gradient is averaged over."""
    seeds: Sequence[int] = ()
    """One for each row, for what the defence draws."""
    batch_size: int = 32
    watch: Callable[[Tensor], None] = _ignore
    """Called with every gradient: float32 (M, 3, H, W)."""
    _draws: int = field(default=0, init=False)

    def gradient(self, pixels: Tensor) -> tuple[Tensor, Score]:
        """Return the gradient of each row's loss, float32 (M, 3, H, W), and the score of the rows."""
        total: Tensor | None = None
        scores = []
        for _ in range(self.samples):
            found = [
                loss_gradient(self.classifier, images, labels, defence=defence, loss=self.loss)
                for images, labels, defence in self._parts(pixels, self._next_draw())
            ]
            values = torch.cat([each.values for each in found])
            scores.append(self._score(torch.cat([each.logits for each in found])))
            total = values if total is None else total.add_(values)
        assert total is not None  # noqa: S101 - there is one sample at least
        self.watch(total)
        return total.neg_() if self.targeted else total, _mean(scores)

    def scores(self, *images: Tensor) -> list[Score]:
        """Return the score of each of several batches of M images, by the same draws, which no gradient has seen."""
        draws = max(self.samples, FRESH_DRAWS) if self.is_random else 1
        by_draw: list[list[Score]] = []
        with torch.no_grad():
            for _ in range(draws):
                draw = self._next_draw()
                by_draw.append([self._score(self._logits(pixels, draw)) for pixels in images])
        return [_mean(scores) for scores in zip(*by_draw, strict=True)]

    def _logits(self, pixels: Tensor, draw: int) -> Tensor:
        parts = self._parts(pixels.float(), draw)
        return torch.cat([self.classifier.logits(defence(images)) for images, _, defence in parts])

    def _score(self, logits: Tensor) -> Score:
        loss = LOSSES[self.loss](self.labels, logits)
        margin = margin_over(self.labels, logits)
        is_label = logits.argmax(dim=1) == self.labels
        succeeded = (is_label == self.targeted).float()
        return Score(succeeded, -loss, -margin) if self.targeted else Score(succeeded, loss, margin)

    def _next_draw(self) -> int:
        self._draws += 1
        return self._draws

    def _parts(self, pixels: Tensor, draw: int) -> list[tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]]:
        """Return images, labels and defence of one batch after the other, for one draw of the defence."""
        seeds = mixed_seeds(self.seeds, draw) if self.defence is not None else []
        images, labels = (torch.split(rows, self.batch_size) for rows in (pixels, self.labels))
        return [
            (image, label, self._drawn(seeds[at * self.batch_size : (at + 1) * self.batch_size]))
            for at, (image, label) in enumerate(zip(images, labels, strict=True))
        ]

    def _drawn(self, seeds: Sequence[int]) -> Callable[[Tensor], Tensor]:
        defence = self.defence
        return _undefended if defence is None else lambda pixels: defence(pixels, seeds)


def _mean(scores: Sequence[Score]) -> Score:
    if len(scores) == 1:
        return scores[0]
    return Score(*(torch.stack(values).mean(dim=0) for values in zip(*scores, strict=True)))


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


@dataclass(frozen=True)
class Ensemble:
    """Several models with the same classes, whose logits are averaged (Dong et al., arXiv 1710.06081)."""

    models: tuple[HasLogits, ...]

    @property
    def name(self) -> str:
        """The names of the models."""
        return " + ".join(model.name for model in self.models)

    def logits(self, pixels: Tensor) -> Tensor:
        """Return the mean of the models' logits."""
        return torch.stack([model.logits(pixels) for model in self.models]).mean(dim=0)


def transfer_from(source: Classifier, examined: Classifier) -> HasLogits:
    """Return a model that attacks on another are made on.

    Raises `RobustcheckError` where the two do not know the same number of classes, or name them in another order.
    """
    theirs, ours = source.probe(), examined.probe()
    if theirs != ours:
        raise RobustcheckError(
            f"an attack made on {source.name} can't be held against {examined.name}: it knows {theirs} classes, and "
            f"the other {ours}"
        )
    moved = next(moved_classes(examined.class_names or (), source.class_names or ()), None)
    if moved is not None and examined.class_names is not None:
        raise RobustcheckError(
            f"an attack made on {source.name} can't be held against {examined.name}: its classes are in another order "
            f"({examined.class_names[moved[0]]!r} is class {moved[1]} of {source.name}, and class {moved[0]} of "
            f"{examined.name}): reorder its logits, in an nn.Module whose forward returns self.net(x)[:, order]"
        )
    return Resized(source)
