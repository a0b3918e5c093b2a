"""Attacks that a repository registered, and what all registered functions have in common: their results are checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from robustcheck.attacks.batch import AttackBatch
from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier
from robustcheck.models.device import is_out_of_memory
from robustcheck.notation import View
from robustcheck.notation.registration import SEEDS, arguments
from robustcheck.notation.tree import DRAW


def call_function(batch: AttackBatch, views: Sequence[View]) -> list[Tensor]:
    """Return what a registered attack makes of images: see `robustcheck.attacks.batch`."""
    return [_attacked(batch, view) for view in views]


def _attacked(batch: AttackBatch, view: View) -> Tensor:
    images = batch.images[view.source]
    inputs = batch.classifier, images, batch.labels_of(view)
    found = call_registered(view, images, batch.seeds(view), inputs)
    _check_levels(view, found, images)
    return found


def attack_with_epsilon_0(view: View, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
    """Return what a registered attack makes of images if its epsilon is 0: the same images, if it is sound."""
    return call_registered(replace(view, amount=0), images, range(len(images)), (classifier, images, labels))


def call_registered(
    view: View, images: Tensor, seeds: Sequence[int], inputs: tuple[object, ...] | None = None
) -> Tensor:
    """Return what a registered function makes of images: of their shape, dtype and device.

    Args:
        view: with the step, its amount and options.
        images: uint8 (n, 3, H, W), or float in 0..255 if a gradient is to go through.
        seeds: one per image.
        inputs: the function's positional arguments; None for the images alone.

    Raises:
        RobustcheckError: the function fails, or returns anything else.
    """
    step = view.declared
    if step.function is None:
        raise LookupError(f"{view.step} is built in")
    amount = view.amount
    if amount is None and step.amount is not None:
        amount = step.amount.default
    named = arguments(step, amount, {name: view.options[name] for name, _ in view.written if name != DRAW})
    if SEEDS in signature(step.function).parameters:
        named[SEEDS] = list(seeds)
    try:
        copies = [each.clone() if isinstance(each, Tensor) else each for each in inputs or (images,)]
        found = step.function(
            *copies, **named
        )  # which may change them in place, and others have the images, too
    except RobustcheckError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise  # the batch is halved
        raise RobustcheckError(
            f"the function registered as {view.step} failed on {view}: {type(error).__name__}: {error}"
        ) from error
    return _checked(view, found, images)


def _checked(view: View, found: Any, images: Tensor) -> Tensor:
    if not isinstance(found, Tensor) or found.shape != images.shape or found.dtype != images.dtype:
        got = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise RobustcheckError(
            f"the function registered as {view.step} returned {got} for images {images.dtype} {tuple(images.shape)}: "
            "it must return images of the same dtype and shape"
        )
    if found.device != images.device:
        raise RobustcheckError(
            f"the function registered as {view.step} returned images on {found.device} for images on {images.device}: "
            "it must return them on the same device"
        )
    return found


def _check_levels(view: View, found: Tensor, images: Tensor) -> None:
    moved = int((found.to(torch.int16) - images.to(torch.int16)).abs().max()) if len(images) else 0
    if moved > view.number:
        raise RobustcheckError(
            f"{view.head} moved a sample by {moved} levels, more than its epsilon of {view.number}: an attack stays "
            "within epsilon of its images in pixel levels of 0..255; look for another scale (0..1, normalised) or a "
            "missing clip"
        )
