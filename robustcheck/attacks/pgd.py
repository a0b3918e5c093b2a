"""Projected gradient descent (Madry et al., arXiv 1706.06083), in 8-bit pixels: the view `PGD_8`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from robustcheck.attacks.arguments import whole_levels
from robustcheck.attacks.batch import AttackBatch
from robustcheck.attacks.call import run_call
from robustcheck.attacks.gradient_ascent import FixedSteps
from robustcheck.attacks.losses import LossName
from robustcheck.attacks.restarts import by_row, climb
from robustcheck.models import Classifier
from robustcheck.notation import View, view_of_call

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
    loss: LossName = "scaled_log_odds",
    labels: Tensor | None = None,
    targets: Tensor | None = None,
    defence: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    batch_size: int = 32,
) -> Tensor:
    """Return images within `epsilon` levels of the given ones, found by many small steps up the loss.

    The network is in eval mode meanwhile, and outside any `torch.autocast`; afterwards it is as it was.

    Of the images after each step, rounded to whole levels, each image gets the one that is misclassified with the largest
    loss, or that with the largest loss. Against a `defence`, which may draw at random, the best image so far and the
    last one are compared by eight further passes.

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
        loss: what is maximised: "margin" (of the largest other logit over the label's), "log_odds" (leads where the
            cross-entropy does), "dlr" (the margin as a share of the logits' spread, arXiv 2003.01690), or
            "scaled_log_odds" (of large logits, scaled down: they would hide all classes but two).
        labels: int64 (N,), those whose loss is maximised; None for the model's own top label on these images.
        targets: int64 (N,), classes to be predicted instead; give labels or targets.
        defence: float pixels 0..255 to float pixels ahead of the model, such as `robustcheck.jpeg.differentiable`; the
            gradient goes through it.
        seed: of the random starts, which depend on an image's pixels, not on its place in the batch.
        batch_size: images per forward pass.

    Returns:
        uint8 (N, 3, H, W) on the device of `images`.

    Raises:
        RobustcheckError: as for `fgs`, and for options that contradict each other.
    """
    common: dict[str, object] = {"steps": steps, "restarts": restarts, "loss": loss}
    options = {"step": step, "start": start, "momentum": momentum}
    view = view_of_call("PGD", whole_levels(epsilon), common | options)
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
    """Return the images of views `PGD_e` that differ only in aim, start and step: see `robustcheck.attacks.batch`."""
    options = [view.options for view in views]
    steps = [own.step or step_size(view.number, own.steps) for own, view in zip(options, views, strict=True)]
    return climb(batch, views, FixedSteps(by_row(batch, views, steps), options[0].momentum))


def step_size(epsilon: float, steps: int) -> float:
    """Return the size of each of some steps, in pixel levels, that lead well across the ball."""
    return TOTAL_STEP_RATIO * epsilon / steps
