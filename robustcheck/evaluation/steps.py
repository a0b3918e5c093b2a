"""What each step of the notation does to a batch of images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustcheck import jpeg
from robustcheck.attacks import Ball, ascend, permuted_noise, random_signs, strongest
from robustcheck.attacks.custom import call_attack, call_defence
from robustcheck.attacks.external import attack_by
from robustcheck.attacks.gradient_ascent import Norm
from robustcheck.attacks.noise import image_seeds, mixed_seeds
from robustcheck.attacks.pgd import REACH
from robustcheck.evaluation.batch_state import BatchState
from robustcheck.evaluation.plan import GradientOf
from robustcheck.notation import View
from robustcheck.transforms.through import qualities


def make(run: BatchState, views: tuple[View, ...]) -> None:
    """Make the images of some views that belong together; those that they are made from are there already."""
    if views[0].step == "PGD":
        run.images.update(zip(views, _pgd(run, views), strict=True))
    else:
        for view in views:
            run.images[view] = _implementation(view)(run, view)


def _implementation(view: View) -> Callable[[BatchState, View], Tensor]:
    if view.declared.function is not None:
        return _registered
    return IMPLEMENTATIONS.get(view.step, _by_library)


def _adv(run: BatchState, view: View) -> Tensor:
    """One step of the loop, as long as the ball is wide, in a direction that the views share."""
    ball = _ball(run, [view])
    return ascend(ball, _never, steps=1, step=ball.epsilon, first=run.direction(view, ball))


def _pgd(run: BatchState, views: tuple[View, ...]) -> list[Tensor]:
    """Climb for all views, and all their restarts, at once: each image of each restart of each view is a row."""
    rule, restarts = views[0], _whole(views[0], "restarts")
    tries = [view for view in views for _ in range(restarts)]
    seeds = [seed for view in views for number in range(restarts) for seed in run.seeds(f"{view} {number}")]
    ball = _ball(run, tries)
    labels = torch.cat([run.labels_of(view) for view in tries])
    objective = run.objective(rule, labels, mixed_seeds(seeds, 0))
    found = ascend(
        ball,
        objective.gradient,
        steps=_whole(rule, "steps"),
        step=torch.cat([_rows(run, _stride(view)) for view in tries]),
        start=_start(run, tries, ball, seeds),
        first=_shared_direction(run, tries, ball),
        momentum=float(rule.option("momentum") or 0),
    )
    losses = objective.loss(found) if restarts > 1 else ball.epsilon  # of one, any order will do
    by_view = zip(found.chunk(len(views)), losses.chunk(len(views)), strict=True)
    return [strongest(images, own, restarts) for images, own in by_view]


def _ball(run: BatchState, views: list[View]) -> Ball:
    """Return the ball around each image of each view's source."""
    norm: Norm = "2" if views[0].option("norm") == "2" else "inf"
    centre = torch.cat([run.images[view.source] for view in views])
    return Ball(centre, torch.cat([_rows(run, view.number) for view in views]), norm)


def _start(run: BatchState, views: list[View], ball: Ball, seeds: list[int]) -> Tensor | None:
    if not any(view.option("start") == "random" for view in views):
        return None
    start = ball.random(seeds)
    still = torch.cat([_rows(run, view.option("start") == "zero") for view in views]).bool()
    return torch.where(still.view(-1, 1, 1, 1), ball.centre.float(), start)


def _shared_direction(run: BatchState, views: list[View], ball: Ball) -> Tensor | None:
    """Return the first step's direction, where every row starts in one that may have been computed before."""
    if any(GradientOf.used_by(view) is None for view in views):
        return None
    return torch.cat([run.direction(view, ball) for view in views])


def _stride(view: View) -> float:
    step = view.option("step")
    return REACH * view.number / _whole(view, "steps") if step is None else float(step)


def _rows(run: BatchState, value: float) -> Tensor:
    return torch.full((len(run.ids),), float(value), device=run.classifier.device)


def _whole(view: View, option: str) -> int:
    return int(view.option(option) or 1)


def _never(_pixels: Tensor) -> Tensor:
    raise AssertionError("a single step in a known direction needs no gradient")


def _jpg(run: BatchState, view: View) -> Tensor:
    quality = qualities(view, run.seeds(view))
    return jpeg.roundtrip(run.images[view.source], quality=quality, codec=run.codec)


def _jpg_noise(run: BatchState, view: View) -> Tensor:
    recompressed = run.images[View("JPG", view.amount, (), view.sources)]
    return permuted_noise(run.images[view.source], recompressed, seeds=run.seeds(view))


def _noise(run: BatchState, view: View) -> Tensor:
    return random_signs(run.images[view.source], epsilon=view.number, seeds=run.seeds(view))


def _worst(run: BatchState, view: View) -> Tensor:
    """Of each image the view in which it is lost, or nearest to it: not its label, then least probable.

    An image without a label is lost where it is no longer l_x. The logits are chosen along with the images.
    """
    run.classify(view.sources)
    true = torch.where(run.labels >= 0, run.labels, run.top_labels)
    logits = torch.stack([run.logits[source] for source in view.sources])  # (views, n, classes)
    probability = logits.double().softmax(dim=2)
    kept = logits.argmax(dim=2) == true
    rank = kept.double() * 2 + probability.gather(2, true.expand(len(logits), -1)[:, :, None])[:, :, 0]
    chosen = rank.argmin(dim=0)
    images = torch.stack([run.images[source] for source in view.sources])
    every = torch.arange(len(chosen), device=chosen.device)
    run.logits[view] = logits[chosen, every]
    return images[chosen, every]


def _by_library(run: BatchState, view: View) -> Tensor:
    library, _, attack = view.step.partition(":")
    (seed,) = image_seeds(run.seed, [" ".join(run.ids)], str(view))
    return attack_by(
        library,
        attack,
        run.classifier,
        run.images[view.source],
        run.labels_of(view),
        epsilon=view.number,
        options=library_options(view),
        seed=seed,
        batch_size=run.batch_size,
    )


def library_options(view: View) -> dict[str, str]:
    """Return the options of a library's attack that are the library's."""
    return {key: text for key, text in view.options if key not in view.declared.options}


def _registered(run: BatchState, view: View) -> Tensor:
    images = run.images[view.source]
    if view.kind == "attack":
        return call_attack(view, run.classifier, images, run.labels_of(view), run.seeds(view))
    return call_defence(view, images, run.seeds(view))


IMPLEMENTATIONS: dict[str, Callable[[BatchState, View], Tensor]] = {
    "Adv": _adv,
    "JPG": _jpg,
    "JPG_noise": _jpg_noise,
    "Noise": _noise,
    "Worst": _worst,
}
"""By the names in `robustcheck.notation.STEPS`; PGD is made many views at a time."""
