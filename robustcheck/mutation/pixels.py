"""Faults of how pixels reach the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from robustcheck.mutation.mutation import Around, Mutation, Setup, Subject, around, with_module

_CLEAN = "a claim on clean images, with a threshold near what is measured, such as accuracy(x) >= 78% where it is 80%"
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_HALF = {"mean": (0.5,) * 3, "std": (0.5,) * 3}


def _rule(**changed: object) -> Callable[[Setup], Setup]:
    def change(setup: Setup) -> Setup:
        classifier = with_module(setup.classifier, setup.classifier.module, **changed)
        return replace(setup, classifier=classifier, images=setup.reopen(classifier))

    return change


def _normalise_twice(setup: Setup) -> Setup:
    sound, rule = setup.classifier, setup.classifier.preprocessing
    mean, std = (torch.tensor(values, device=sound.device).view(3, 1, 1) for values in (rule.mean, rule.std))

    def again(pixels: torch.Tensor) -> torch.Tensor:
        return (pixels - mean.to(pixels.dtype)) / std.to(pixels.dtype)

    return replace(setup, classifier=with_module(sound, Around(sound.module, again, None, sound.output)))


def _normalise_for_another(setup: Setup) -> Setup:
    own = setup.classifier.preprocessing.mean
    return _rule(**(_IMAGENET if own == _HALF["mean"] else _HALF))(setup)


def _leave_out_scaling(setup: Setup) -> Setup:
    rule = setup.classifier.preprocessing
    mean, std = (tuple(value / 255 for value in values) for values in (rule.mean, rule.std))
    return _rule(mean=mean, std=std)(setup)


def _is_normalised(subject: Subject) -> str:
    rule = subject.setup.classifier.preprocessing
    is_plain = rule.mean == (0.0,) * 3 and rule.std == (1.0,) * 3
    return "the classifier does not normalise its pixels" if is_plain else ""


def _resize_otherwise(setup: Setup) -> Setup:
    return _rule(interpolation="nearest", antialias=False)(setup)


def _crop_otherwise(setup: Setup) -> Setup:
    rule = setup.classifier.preprocessing
    least = max(rule.input_size)
    resized = max(rule.resize) if isinstance(rule.resize, tuple) else rule.resize
    return _rule(resize=round(least / 0.875) if resized <= least else least)(setup)


def _is_square(subject: Subject) -> str:
    height, width = subject.setup.classifier.input_size
    return "" if height == width else "the images are not square"


MUTATIONS = (
    Mutation(
        "channels_swapped",
        "images are read as BGR where the network expects RGB",
        _CLEAN,
        around(lambda p: p.flip(1)),
    ),
    Mutation(
        "rows_and_columns_exchanged",
        "height and width of the images are exchanged",
        _CLEAN,
        around(lambda p: p.transpose(2, 3)),
        _is_square,
    ),
    Mutation("upside_down", "images are upside down", _CLEAN, around(lambda p: p.flip(2))),
    Mutation(
        "colours_dropped",
        "images are grey: each channel is the mean of the three",
        _CLEAN,
        around(lambda p: p.mean(dim=1, keepdim=True).expand_as(p)),
    ),
    Mutation(
        "normalisation_dropped",
        "pixels in 0..1 reach the network without mean and std",
        _CLEAN,
        _rule(mean=(0.0,) * 3, std=(1.0,) * 3),
        _is_normalised,
    ),
    Mutation(
        "normalisation_doubled",
        "mean and std are applied by the classifier, and by the network once more",
        _CLEAN,
        _normalise_twice,
        _is_normalised,
    ),
    Mutation(
        "normalisation_of_another_model",
        "mean and std are those of another model (ImageNet's, or 0.5)",
        f"{_CLEAN}; networks hardly notice, so top_probability(x) or no_regression('x') sees it sooner",
        _normalise_for_another,
    ),
    Mutation(
        "pixels_not_scaled",
        "pixels in 0..255 reach a network that expects 0..1",
        _CLEAN,
        _leave_out_scaling,
    ),
    Mutation(
        "resized_by_another_rule",
        "images are resized to the nearest pixel where the classifier's own rule interpolates",
        "robustness.no_regression('x') against a saved baseline: the images' hashes are then compared, too",
        _resize_otherwise,
    ),
    Mutation(
        "cropped_by_another_rule",
        "images are cropped by another fraction: the centre alone, or with its margins",
        "robustness.no_regression('x') against a saved baseline: the images' hashes are then compared, too",
        _crop_otherwise,
    ),
)
