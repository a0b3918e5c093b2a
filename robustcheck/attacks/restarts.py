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
    return _chosen(views, found, common.restarts)


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
    count = len(images) // restarts
    best, best_score = images[:count], _rows(score, 0, count)
    for number in range(1, restarts):
        own = _rows(score, number, count)
        better = own.beats(best_score)
        best = torch.where(better.view(-1, 1, 1, 1), images[number * count : (number + 1) * count], best)
        best_score = own.where(better, best_score)
    return best


def _rows(score: Score, number: int, count: int) -> Score:
    rows = slice(number * count, (number + 1) * count)
    return Score(score.succeeded[rows], score.loss[rows])


def _chosen(views: Sequence[View], found: Ascent, restarts: int) -> list[Tensor]:
    parts = list(found.images.chunk(len(views)))
    if found.score is None:
        return parts
    return [
        best_restart(images, _rows(found.score, number, len(images)), restarts)
        for number, images in enumerate(parts)
    ]


def _start(ball: Ball, batch: AttackBatch, views: Sequence[View], seeds: Sequence[int]) -> Tensor | None:
    random = [view.options.get("start", "random") == "random" for view in views]
    if not any(random):
        return None
    is_random = by_row(batch, views, random).bool()
    return torch.where(is_random.view(-1, 1, 1, 1), ball.random(seeds), ball.centre.float())
