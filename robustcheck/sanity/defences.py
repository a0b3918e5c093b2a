"""Checks of the defences that a repository registered, and of JPEG: what they do to images, whatever the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from robustcheck.claims.intervals import sign_test
from robustcheck.notation import STEPS, View, X, load
from robustcheck.notation.registry import Gradient
from robustcheck.sanity.check import Failed
from robustcheck.sanity.gradients import random_signs
from robustcheck.sanity.subject import Subject
from robustcheck.transforms.transform import TransformCall

_LEVEL = 0.01
"""Probability that a defence is said to know images, where it treats all alike."""
_NOISE = 8
_MOST_DIFFERING = 0.01
"""Share of samples that rounding may move by one level."""


def defence_treats_each_image_alone(subject: Subject) -> str:
    """A defence makes the same of an image alone as in a batch.

    Images leak into each other (a mean or a maximum over the whole batch): results depend on the batch size and on
    the neighbours. Reduce over dimensions 1 to 3 only, one image at a time.
    """
    found = []
    for view, images, same in _repeatable(subject):
        alone = torch.cat([_apply(view, image[None], [seed]) for seed, image in enumerate(images)])
        if problem := _difference(alone, same):
            raise Failed(f"{view.step} made something else of images alone than in a batch: {problem}")
        found.append(view.step)
    return f"{', '.join(found)}: the same alone as in a batch of {len(subject.few)}"


def defence_is_the_same_on_floats(subject: Subject) -> str:
    """A defence makes the same of float pixels 0..255, as an attack goes through it, as of uint8 images.

    The adaptive attack is made on another defence than the one that is evaluated: look for a scale of 0..1, a branch on
    the dtype, integer arithmetic that wraps around, or a step that is left out for its gradient.
    """
    found = []
    for view, images, same in _repeatable(subject):
        for gradient in view.declared.gradients:
            floats = _apply(view, images.float(), range(len(images)), gradient)
            if problem := _difference(floats.round().clamp(0, 255), same):
                raise Failed(f"{view.step}[{gradient}] made something else of float pixels: {problem}")
        found.append(view.step)
    return f"{', '.join(found)}: the same on floats as on uint8"


def defence_does_not_know_the_images(subject: Subject) -> str:
    """A defence does no more for images that it has been shown than for images that it can't have seen.

    It looks the clean image up (a cache, a nearest neighbour among the evaluated images): it undoes any perturbation
    here and none of an image that comes in use. Build it from other images, and keep nothing between calls. The
    unseen images are mirrored ones; defences that treat all alike fail with a probability of at most 1 %.
    """
    found = []
    for view in registered_defences():
        _apply(view, subject.few, range(len(subject.few)))  # now it has been shown them
        noise = _NOISE * random_signs(subject.few.shape).to(subject.few.device)
        seen, unseen = (_remainder(view, images, noise) for images in (subject.few, subject.few.flip(3)))
        better = int((seen < unseen / 2).sum())
        if sign_test(better, len(seen) - better) <= _LEVEL:
            raise Failed(
                f"after random signs of {_NOISE} levels, {view.step} leaves {float(seen.mean()):.2f} levels (mean) of "
                f"images that it was shown and {float(unseen.mean()):.2f} of their mirror images"
            )
        found.append(f"{view.step} leaves {float(seen.mean()):.1f} and {float(unseen.mean()):.1f} levels")
    return f"of shown and of mirrored images, {'; '.join(found)}"


def registered_defences() -> list[View]:
    """Return each defence that can be written without an amount, on clean images: JPEG, and what is registered."""
    return [
        View(step.name, None, (), (X,))
        for step in STEPS.values()
        if step.kind == "transform"
        and not step.is_noise
        and (step.amount is None or step.amount.default is not None)
    ]


def _repeatable(subject: Subject) -> Iterator[tuple[View, Tensor, Tensor]]:
    """Yield each defence that gives the same twice, images of several brightnesses, and what it makes of them."""
    images = subject.few.clone()
    images[1::2] //= 2
    for view in registered_defences():
        once, again = (_apply(view, images, range(len(images))) for _ in range(2))
        if torch.equal(once, again):  # else another check says so
            yield view, images, once


def _apply(view: View, images: Tensor, seeds: Sequence[int], gradient: Gradient | None = None) -> Tensor:
    transform = load(view.declared.implementation)
    with torch.no_grad():
        return transform(images.clone(), TransformCall(view, list(seeds), gradient))  # type: ignore[no-any-return]


def _difference(one: Tensor, other: Tensor) -> str:
    """Return how two batches of pixels differ by more than rounding, or ""."""
    apart = (one.float() - other.float()).abs()
    share = float((apart > 0).double().mean())
    if share <= _MOST_DIFFERING and float(apart.max()) <= 1:
        return ""
    return f"{share:.1%} of the samples differ, by up to {float(apart.max()):.0f} levels"


def _remainder(view: View, images: Tensor, noise: Tensor) -> Tensor:
    """Return how far images are from what a defence makes of them under noise, in mean levels: (n,)."""
    moved = (images + noise).clamp(0, 255).to(torch.uint8)
    defended = _apply(view, moved, range(len(images)))
    return (defended.float() - images.float()).abs().flatten(1).mean(dim=1)


CHECKS = (
    defence_treats_each_image_alone,
    defence_is_the_same_on_floats,
    defence_does_not_know_the_images,
)
