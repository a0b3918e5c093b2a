"""What attacks of many steps have in common: random starts, restarts, and several views on the way at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustcheck.attacks.batch import AttackBatch
from robustcheck.attacks.gradient_ascent import Ascent, Ball, StepRule, ascend
from robustcheck.attacks.objective import Score
from robustcheck.attacks.seeds import mixed_seeds
from robustcheck.notation import View


def climb(batch: AttackBatch, views: Sequence[View], rule: StepRule) -> list[Tensor]:
    """Return the images of views that agree in norm, steps, restarts and loss, each image of each restart being a row.

    The rows are those of one view after the other, and of a view one restart after the other: see `by_row`. Each image
    gets the restart with the best score.
    """
    common = views[0].options
    rows = [view for view in views for _ in range(common.restarts)]
    images = torch.cat([batch.images[view.source] for view in rows])
    ball = Ball(images, by_row(batch, views, [view.number for view in views]), common.norm)
    seeds = [seed for view in views for seed in start_seeds(batch, view)]
    labels = torch.cat([batch.labels_of(view) for view in rows])
    shared = all(view.declared.shares_gradient(view) for view in views)
    found = ascend(
        ball,
        batch.objective(views[0], labels, mixed_seeds(seeds, 0)),
        rule,
        steps=common.steps,
        start=_start(ball, batch, views, seeds),
        first=torch.cat([batch.direction(view) for view in rows]) if shared else None,
        is_scored=common.restarts > 1,
    )
    return _chosen(batch, views, found, common.restarts)


def by_row(batch: AttackBatch, views: Sequence[View], values: Sequence[float]) -> Tensor:
    """Return a value for each view as one for each row: float32 (views * restarts * n,)."""
    images = batch.images[views[0].source]
    by_view = torch.tensor(values, dtype=torch.float32, device="cpu").to(images.device, non_blocking=True)
    return by_view.repeat_interleave(views[0].options.restarts * len(images))


def start_seeds(batch: AttackBatch, view: View) -> list[int]:
    """Return a seed for each image of each restart; the first restarts are the same whatever the attack's options."""
    return [
        seed for number in range(view.options.restarts) for seed in batch.seeds(f"{view.seed_text} {number}")
    ]


def best_restart(images: Tensor, score: Score, restarts: int) -> Tensor:
    """Return of each image the restart with the best score, of equal ones the first.

    `images` are those of restarts one after the other, (R * N, 3, H, W), as is the score; returns (N, 3, H, W).
    """
    return _taken(images, _best_numbers(score, restarts))


def _best_numbers(score: Score, restarts: int) -> Tensor:
    """Return the number of each image's best restart: int64 (N,)."""
    count = len(score.loss) // restarts
    best, best_score = torch.zeros_like(score.loss[:count], dtype=torch.int64), _rows(score, 0, count)
    for number in range(1, restarts):
        own = _rows(score, number, count)
        better = own.beats(best_score)
        best, best_score = torch.where(better, number, best), own.where(better, best_score)
    return best


def _taken(values: Tensor, numbers: Tensor) -> Tensor:
    """Return of each image one restart's value, from those of restarts one after the other."""
    if len(values) == len(numbers):  # of the only one
        return values
    every = torch.arange(len(numbers), device=numbers.device)
    return values.reshape(-1, len(numbers), *values.shape[1:])[numbers, every]


def _rows(score: Score, number: int, count: int) -> Score:
    rows = slice(number * count, (number + 1) * count)
    return Score(*(values[rows] for values in score))


def _chosen(batch: AttackBatch, views: Sequence[View], found: Ascent, restarts: int) -> list[Tensor]:
    """Return each view's images, and note which of them were still rising."""
    parts = list(found.images.chunk(len(views)))
    if found.score is None:
        return parts
    for at, (view, images) in enumerate(zip(views, parts, strict=True)):
        rows = slice(at * len(images), (at + 1) * len(images))
        numbers = _best_numbers(_rows(found.score, at, len(images)), restarts)
        parts[at] = _taken(images, numbers)
        if found.rising is not None:
            batch.rising.note(view, _taken(found.rising[rows], numbers))
    return parts


def _start(ball: Ball, batch: AttackBatch, views: Sequence[View], seeds: Sequence[int]) -> Tensor | None:
    random = [view.options.get("start", "random") == "random" for view in views]
    if not any(random):
        return None
    is_random = by_row(batch, views, random).bool()
    return torch.where(is_random.view(-1, 1, 1, 1), ball.random(seeds), ball.centre.float())
