"""What a caller may pass to an attack as a function: each check says what is allowed and what it got."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from robustcheck.errors import RobustcheckError
from robustcheck.images.identity import image_id
from robustcheck.models import Classifier


def whole_levels(epsilon: object) -> int:
    """Return epsilon as an integer number of pixel levels, which 8 bits can hold; raises `RobustcheckError` for another."""
    if not _is_number(epsilon) or not 1 <= epsilon <= 255 or abs(epsilon - round(epsilon)) > 1e-6:
        raise RobustcheckError(
            f"epsilon must be an integer number of pixel levels from 1 to 255, got {epsilon!r}: the result is 8 bits deep, "
            "and rounding would erase or change anything else (8/255 in other tools is epsilon=8 here)"
        )
    return round(epsilon)


def whole_number(name: str, value: object, *, least: int | None = 1) -> int:
    """Return an integer argument as an int; raises `RobustcheckError` for what is none, or is below `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or (least is not None and value < least):
        allowed = "an integer" if least is None else f"an integer >= {least}"
        raise RobustcheckError(f"{name} must be {allowed}, got {value!r}")
    return int(value)


def check_classifier(classifier: object) -> None:
    """Raise `RobustcheckError` for what is not a `Classifier`."""
    if not isinstance(classifier, Classifier):
        raise RobustcheckError(
            f"classifier must be a robustcheck.Classifier, got {type(classifier).__name__}: wrap a network as "
            "Classifier(network, mean=..., std=..., input_size=...), or use robustcheck.load_model"
        )


def check_images(images: object, classifier: Classifier) -> None:
    """Raise `RobustcheckError` for what is not a uint8 batch of one image at least at the classifier's input size."""
    height, width = classifier.input_size
    shape = f"(N, 3, {height}, {width})"
    if not isinstance(images, Tensor) or images.dtype is not torch.uint8:
        raise RobustcheckError(
            f"images must be a uint8 tensor {shape} of pixel levels 0..255, got {_described(images)}"
            f"{_hint_for_images(images)}"
        )
    if images.shape[1:] != (3, height, width) or not len(images):
        hint = ": use images[None] for one image" if images.ndim == 3 else ""
        raise RobustcheckError(
            f"images for {classifier.name} must have shape {shape}, N >= 1, got {tuple(images.shape)}{hint}"
        )


def check_labels(labels: object, images: Tensor, classifier: Classifier, name: str = "labels") -> None:
    """Raise `RobustcheckError` for what is not a class of the classifier for each of some images."""
    if not isinstance(labels, Tensor) or labels.dtype is not torch.int64 or labels.shape != images.shape[:1]:
        raise RobustcheckError(
            f"{name} must be an int64 tensor of shape ({len(images)},), a class index for each image, got "
            f"{_described(labels)}{_hint_for_labels(labels, name)}"
        )
    classes = classifier.probe()
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise RobustcheckError(
            f"{name} must be classes from 0 to {classes - 1}, got {int(labels.min())} to {int(labels.max())}"
        )


def ids_of(images: Tensor) -> list[str]:
    """Return the id of each image, which is that of its pixels in any set or batch."""
    return [image_id(np.ascontiguousarray(pixels)) for pixels in images.detach().cpu().numpy()]


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return isinstance(value, Integral) or math.isfinite(value)  # which an integer may be too large for


def _hint_for_images(images: object) -> str:
    """Return how to convert images to a uint8 tensor, where that is plain."""
    if isinstance(images, np.ndarray):
        return ": use torch.from_numpy(images)"
    if isinstance(images, Tensor) and images.is_floating_point():
        return ": use images.round().to(torch.uint8), after images * 255 where they are in 0..1"
    if isinstance(images, list | tuple) and all(isinstance(image, Tensor) for image in images):
        return ": use torch.stack(images)"
    return ""


def _hint_for_labels(labels: object, name: str) -> str:
    """Return how to convert labels to an int64 tensor, where that is plain."""
    if isinstance(labels, Tensor) and labels.ndim == 2:
        return (
            f": use {name}.squeeze(1)"
            if labels.shape[1] == 1
            else f": use {name}.argmax(1) for one-hot {name}"
        )
    if isinstance(labels, Tensor) and labels.dtype is not torch.int64:
        return f": use {name}.long()"
    if isinstance(labels, list | tuple | np.ndarray):
        return f": use torch.as_tensor({name}), with integers"
    return ""


def _described(value: object) -> str:
    """Return what a value is: dtype and shape of an array, the value itself if it is a number, else its type."""
    if isinstance(value, Tensor | np.ndarray):
        kind = "" if isinstance(value, Tensor) else "a numpy array of "
        return f"{kind}{value.dtype} of shape {tuple(value.shape)}"
    return repr(value) if isinstance(value, int | float | str | None) else type(value).__name__
