"""Square attack (Andriushchenko, Croce, Flammarion, Hein, arXiv 1912.00049): the view `Square_8`, which needs no gradient.

A random search: stripes of plus and minus epsilon at first, then squares of one change per channel at random places, which
stay where they raise the loss and become smaller on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robustcheck.attacks.arguments import whole_levels
from robustcheck.attacks.batch import AttackBatch
from robustcheck.attacks.call import run_call
from robustcheck.attacks.losses import LossName
from robustcheck.attacks.objective import last_tenth_of
from robustcheck.attacks.philox import signs, uniforms
from robustcheck.attacks.seeds import mixed_seeds
from robustcheck.models import Classifier
from robustcheck.notation import View, view_of_call

_HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10,000 queries, those after which the squares have half the area: the schedule of the paper."""
_CHANNELS = 3


def square(
    classifier: Classifier,
    images: Tensor,
    *,
    epsilon: float,
    queries: int = 1000,
    share: float = 0.8,
    loss: LossName = "margin",
    labels: Tensor | None = None,
    targets: Tensor | None = None,
    defence: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> Tensor:
    """Return images within `epsilon` levels of the given ones, found by random squares, without a gradient.

    The network is in eval mode meanwhile, and outside any `torch.autocast`; afterwards it is as it was.

    Args:
        classifier: the classifier that is attacked; it gets `batch_size` images at once.
        images: uint8 (N, 3, H, W), in pixel levels 0..255.
        epsilon: a whole number of pixel levels.
        queries: how often each image is classified, >= 1.
        share: the first squares' area as a share of the image's, 0.001..1.
        loss: as for `pgd`.
        labels: as for `pgd`.
        targets: as for `pgd`.
        defence: as for `pgd`, but for the gradient; with one, each query is compared by eight draws of it.
        seed: of all that is random.
        batch_size: images per forward pass.

    Returns:
        uint8 (N, 3, H, W) on the device of `images`.

    Raises:
        RobustcheckError: as for `pgd`.
    """
    view = view_of_call("Square", whole_levels(epsilon), {"queries": queries, "share": share, "loss": loss})
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
    """Return the images of views `Square_e`: see `robustcheck.attacks.batch`."""
    return [_searched(batch, view) for view in views]


def side_of(number: int, queries: int, share: float, size: tuple[int, int]) -> int:
    """Return how many pixels wide the square of a query is.

    >>> [side_of(number, 1000, 0.8, (224, 224)) for number in (1, 5, 100, 999)]
    [200, 142, 50, 9]
    """
    done = number * 10_000 // queries
    area = share * size[0] * size[1] / 2.0 ** sum(done > at for at in _HALVED_AT)
    return min(max(round(math.sqrt(area)), 1), *size)


def _searched(batch: AttackBatch, view: View) -> Tensor:
    clean, options = batch.images[view.source], view.options
    seeds = batch.seeds(view.seed_text)
    objective = batch.objective(view, batch.labels_of(view), mixed_seeds(seeds, 0))
    squares = _Squares(clean, int(view.number), seeds, options.queries)
    change = squares.stripes()
    best = squares.moved(change)
    (score,) = objective.scores(best)
    before, done = None, last_tenth_of(options.queries)
    for number in range(1, options.queries):
        if number == done:
            before = score
        side = side_of(number, options.queries, options.share, (clean.shape[2], clean.shape[3]))
        proposed = squares.with_square(change, number, side)
        images = squares.moved(proposed)
        if objective.is_random:  # both by the same new draws, or a lucky one would stay for good
            score, found = objective.scores(best, images)
        else:
            (found,) = objective.scores(images)
        better = found.beats(score)
        score = found.where(better, score)
        pixels = better.view(-1, 1, 1, 1)
        change, best = torch.where(pixels, proposed, change), torch.where(pixels, images, best)
    if before is not None and not objective.is_random:
        batch.rising.note(view, score.is_rising_since(before, done, options.queries))
    return best


class _Squares:
    """The changes that may be tried of some images, each drawn by the image's own seed."""

    def __init__(self, clean: Tensor, epsilon: int, seeds: Sequence[int], queries: int) -> None:
        self._clean, self._epsilon, self._seeds = clean.to(torch.int16), epsilon, seeds
        height, width = clean.shape[2:]
        self._rows = torch.arange(height, device=clean.device).view(1, 1, -1, 1)
        self._columns = torch.arange(width, device=clean.device).view(1, 1, 1, -1)
        numbers = uniforms(mixed_seeds(seeds, 2), queries * (2 + _CHANNELS), clean.device)
        self._draws = numbers.view(len(clean), queries, 2 + _CHANNELS, 1, 1)

    def stripes(self) -> Tensor:
        """Return a change of each column and channel: int16 (n, 3, H, W)."""
        count, channels, _, width = self._clean.shape
        drawn = signs(mixed_seeds(self._seeds, 1), channels * width, self._clean.device)
        return drawn.view(count, channels, 1, width).to(torch.int16).mul(self._epsilon).expand_as(self._clean)

    def with_square(self, change: Tensor, number: int, side: int) -> Tensor:
        """Return a change with another square in it."""
        draw = self._draws[:, number]
        top, left = (
            (draw[:, at, None] * (length - side + 1)).long().clamp_max(length - side)
            for at, length in ((0, change.shape[2]), (1, change.shape[3]))
        )
        inside = self._within(self._rows, top, side) & self._within(self._columns, left, side)
        levels = torch.where(draw[:, 2:] < 0.5, -self._epsilon, self._epsilon).to(torch.int16)
        return torch.where(inside, levels, change)

    def moved(self, change: Tensor) -> Tensor:
        """Return the images with a change: uint8 (n, 3, H, W)."""
        return (self._clean + change).clamp_(0, 255).to(torch.uint8)

    @staticmethod
    def _within(places: Tensor, start: Tensor, side: int) -> Tensor:
        return (places >= start) & (places < start + side)
