"""Steps that a repository registered: its functions called, and what they return checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier
from robustcheck.notation import View
from robustcheck.notation.registration import SEEDS, arguments


def call_defence(view: View, images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return what a registered defence makes of images (uint8, or floats in 0..255 that a gradient goes through)."""
    found: Tensor = _call(view, (images,), seeds)
    _check(view, found, images)
    return found


def call_attack(
    view: View, classifier: Classifier, images: Tensor, labels: Tensor, seeds: Sequence[int]
) -> Tensor:
    """Return what a registered attack makes of images, uint8, found to be within epsilon of them."""
    found: Tensor = _call(view, (classifier, images, labels), seeds)
    _check(view, found, images)
    check_levels(view.head, found, images, view.number)
    return found


def attack_with_nothing(view: View, classifier: Classifier, images: Tensor, labels: Tensor) -> Tensor:
    """Return what a registered attack makes of images when its epsilon is 0: nothing, if it is sound."""
    found: Tensor = _call(replace(view, amount=0), (classifier, images, labels), range(len(images)))
    _check(view, found, images)
    return found


def check_levels(who: str, found: Tensor, images: Tensor, epsilon: float) -> None:
    """Raise `RobustcheckError` where some sample was moved by more than epsilon levels."""
    moved = int((found.to(torch.int16) - images.to(torch.int16)).abs().max()) if len(images) else 0
    if moved > epsilon:
        raise RobustcheckError(
            f"{who} moved a sample by {moved} levels, more than its epsilon of {epsilon}: an attack stays within "
            "epsilon of its images in pixel levels of 0..255; look for another scale (0..1, normalised) or a missing clip"
        )


def _call(view: View, positional: tuple[object, ...], seeds: Sequence[int]) -> Any:
    step = view.declared
    if step.function is None:
        raise LookupError(f"{view.step} is built in")
    amount = view.amount
    if amount is None and step.amount is not None:
        amount = step.amount.default
    named = arguments(step, amount, dict(view.options))
    if SEEDS in signature(step.function).parameters:
        named[SEEDS] = list(seeds)
    try:
        return step.function(*positional, **named)
    except (RobustcheckError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise RobustcheckError(
            f"the function registered as {view.step} failed on {view}: {type(error).__name__}: {error}"
        ) from error


def _check(view: View, found: Any, images: Tensor) -> None:
    if not isinstance(found, Tensor) or found.shape != images.shape or found.dtype != images.dtype:
        got = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise RobustcheckError(
            f"the function registered as {view.step} returned {got} for images {images.dtype} {tuple(images.shape)}: "
            "it is to return images of the same dtype and shape"
        )
    if found.device != images.device:
        raise RobustcheckError(
            f"the function registered as {view.step} returned images on {found.device}; they came on {images.device}"
        )
