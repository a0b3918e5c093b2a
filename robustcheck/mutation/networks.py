"""Faults of the network: its mode, its logits, its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.mutation.mutation import Mutation, Setup, Subject, around, needs_attack, seeded, with_module

_CLEAN = "a claim on clean images, with a threshold near what is measured, such as accuracy(x) >= 78% where it is 80%"
_PAIRED = "robustness.no_regression('x', tolerance=...) against a saved baseline, on more images: pairs show small losses"
_ATTACKED = "a claim that the attack works: accuracy(Adv_1) <= 0.5 * accuracy(x)"
_MOST_IMAGES = 64
_LARGEST_NOISE = 2.0
_HALVINGS = 6


class _TrainMode(nn.Module):
    """A network that is in train mode whenever it runs."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: torch.Tensor) -> object:
        """Return what the network returns in train mode."""
        self.net.train()
        try:
            return self.net(pixels)
        finally:
            self.net.eval()


def _put_into_train_mode(setup: Setup) -> Setup:
    sound = setup.classifier
    with torch.no_grad():
        module = _TrainMode(copy.deepcopy(sound.module)).eval()
    return replace(setup, classifier=with_module(sound, module), is_foldable=False)


def _has_modes(subject: Subject) -> str:
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)  # noqa: SLF001 - there is no public way
    found = any(isinstance(layer, kinds) for layer in subject.setup.classifier.module.modules())
    return "" if found else "the network has no batch normalisation and no dropout"


# ----------------------------------------------------------------------------------------------- weights


def _with_weights(change: Callable[[nn.Module], None]) -> Callable[[Setup], Setup]:
    def changed(setup: Setup) -> Setup:
        module = copy.deepcopy(setup.classifier.module)
        with torch.no_grad(), seeded(setup.classifier.device):
            change(module)
        return replace(setup, classifier=with_module(setup.classifier, module))

    return changed


def _kernels(module: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in module.parameters() if weight.ndim > 1 and weight.is_floating_point()]


def _last_layer(module: nn.Module) -> nn.Module | None:
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    return layers[-1] if layers else None


def _reset_last_layer(module: nn.Module) -> None:
    layer = _last_layer(module)
    assert isinstance(layer, nn.Linear | nn.Conv2d)  # noqa: S101 - by `_has_layer`
    layer.reset_parameters()


def _prune(module: nn.Module) -> None:
    for weight in _kernels(module):
        size = weight.abs()
        weight.mul_(size > size.flatten().median())


def _quantise(module: nn.Module) -> None:
    for weight in _kernels(module):
        step = weight.abs().max() / 7
        if step > 0:
            weight.copy_((weight / step).round() * step)


def _has_layer(subject: Subject) -> str:
    return (
        ""
        if _last_layer(subject.setup.classifier.module)
        else "the network has no linear or convolutional layer"
    )


def _has_kernels(subject: Subject) -> str:
    return "" if _kernels(subject.setup.classifier.module) else "the network has no weights of two dimensions"


def _perturb(points: int) -> Callable[[Setup], Setup]:
    return lambda setup: replace(
        setup, classifier=perturbed(setup.classifier, setup.images, loss=points / 100)
    )


def perturbed(classifier: Classifier, images: ImageSet, *, loss: float) -> Classifier:
    """Return a classifier with noise on its weights, as little as lowers its clean accuracy by `loss`.

    Without labels it is the share of predictions kept that falls. The noise of each weight tensor is a fixed draw, in
    units of its standard deviation; its size is found by halving, on at most 64 of the images.
    """
    batches = [*images.subset(range(min(len(images), _MOST_IMAGES))).batches(32)]
    right = _predictions(classifier, batches)
    labels = torch.cat([batch.labels for batch in batches])
    reference = labels if images.has_labels else right
    goal = (right == reference).float().mean() - loss
    low, high = 0.0, _LARGEST_NOISE
    for _ in range(_HALVINGS):
        middle = (low + high) / 2 if low else high / 4
        accuracy = (_predictions(_noisy(classifier, middle), batches) == reference).float().mean()
        low, high = (low, middle) if accuracy <= goal else (middle, high)
    return _noisy(classifier, high)


def _predictions(classifier: Classifier, batches: Sequence[object]) -> torch.Tensor:
    with classifier.evaluating():
        return torch.cat([classifier(batch.pixels).argmax(dim=1).cpu() for batch in batches])  # type: ignore[attr-defined]


def _noisy(classifier: Classifier, size: float) -> Classifier:
    module = copy.deepcopy(classifier.module)
    with torch.no_grad(), seeded(classifier.device):
        for weight in _kernels(module):
            weight.add_(torch.randn_like(weight) * weight.std() * size)
    return with_module(classifier, module)


# ------------------------------------------------------------------------------------------------ table

_PERTURBED = tuple(
    Mutation(
        f"weights_perturbed_by_{points}_points",
        f"noise on the weights takes {points} points of clean accuracy, on the images evaluated",
        _PAIRED,
        _perturb(points),
        _has_kernels,
    )
    for points in (2, 5, 10)
)

MUTATIONS = (
    Mutation("train_mode", "the network runs in train mode", _CLEAN, _put_into_train_mode, _has_modes),
    Mutation(
        "dropout_left_on",
        "a fifth of the logits is dropped at random, as a dropout layer in train mode does",
        _CLEAN,
        around(after=partial(nn.functional.dropout, p=0.2, training=True)),
    ),
    Mutation(
        "noise_inside_the_network",
        "the network adds noise to its pixels: it is another function each time, and attacks see one draw",
        f"{_ATTACKED}; the sanity suite's same_images_give_the_same_logits",
        around(before=lambda pixels: pixels + 0.1 * torch.randn_like(pixels)),
    ),
    Mutation(
        "logits_saturated",
        "logits are 30 times as large, so that probabilities are 0 and 1",
        f"{_ATTACKED}, and for every attack that is reported; top_probability(x) <= 99%",
        around(after=lambda logits: 30 * logits),
    ),
    Mutation(
        "softmax_on_top",
        "the network returns probabilities, which are taken for logits",
        "top_probability(x) >= ...: a softmax of probabilities is nearly uniform; the sanity suite's logits_are_not_probabilities",
        around(after=lambda logits: logits.softmax(dim=1)),
    ),
    Mutation(
        "logits_rounded",
        "logits are rounded to tenths, which cuts the gradient",
        _ATTACKED,
        around(after=lambda logits: (logits * 10).round() / 10),
        needs_attack,
    ),
    Mutation(
        "pixels_rounded_inside",
        "the network rounds its pixels, which cuts the gradient",
        _ATTACKED,
        around(before=lambda pixels: (pixels * 64).round() / 64),
        needs_attack,
    ),
    Mutation(
        "logits_depend_on_the_batch",
        "logits are centred over the batch, so that an image's depend on its neighbours",
        f"{_CLEAN}; the sanity suite's an_image_does_not_depend_on_its_batch",
        around(after=lambda logits: logits - logits.mean(dim=0) + logits[:1]),
    ),
    Mutation(
        "classes_in_another_order",
        "the network's classes are one off from those of the labels",
        _CLEAN,
        around(after=lambda logits: logits.roll(1, dims=1)),
    ),
    *_PERTURBED,
    Mutation(
        "last_layer_not_loaded",
        "the last layer has random weights, as where a checkpoint lacks it",
        _CLEAN,
        _with_weights(_reset_last_layer),
        _has_layer,
    ),
    Mutation(
        "weights_pruned",
        "the smaller half of all weights is zero",
        _CLEAN,
        _with_weights(_prune),
        _has_kernels,
    ),
    Mutation(
        "weights_in_4_bits",
        "weights are rounded to 15 levels a tensor",
        _CLEAN,
        _with_weights(_quantise),
        _has_kernels,
    ),
)
