"""Broken set-ups as people have them, each around the sample model, and the check that should flag it.

A set-up is a function of the sound classifier and its images that returns what is examined: a classifier, images, and
the name of the attack. `python -m tests.sanity.zoo [NAME ...]` prints what every check finds of each.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from unittest import mock

import numpy as np
import torch
from torch import nn

import robustcheck
from robustcheck import Classifier, ImageSet, jpeg
from robustcheck.attacks import loss_gradient
from robustcheck.mutation.mutation import Setup as Sound
from robustcheck.mutation.registry import MUTATIONS
from robustcheck.notation import temporary_steps


@dataclass(frozen=True)
class Setup:
    """What is examined."""

    classifier: Classifier
    images: ImageSet
    attack: str = "Adv"


@dataclass(frozen=True)
class Broken:
    """A set-up with something wrong, and which check says so."""

    make: Callable[[Classifier, ImageSet], Setup]
    caught_by: str
    context: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext

    @property
    def name(self) -> str:
        return self.make.__name__


ZOO: dict[str, Broken] = {}


def broken(caught_by, context=contextlib.nullcontext):
    def add(make):
        ZOO[make.__name__] = Broken(make, caught_by, context)
        return make

    return add


class Around(nn.Module):
    """The sound network, with something done before and after it."""

    def __init__(self, net, before=lambda pixels: pixels, after=lambda logits: logits):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, pixels):
        return self.after(self.net(self.before(pixels)))


def around(sound, **how):
    return Classifier.from_preprocessing(
        Around(sound.module, **how), sound.preprocessing, name="broken", device=sound.device
    )


def with_rule(sound, **changed):
    return Classifier.from_preprocessing(
        sound.module, replace(sound.preprocessing, **changed), name="broken", device=sound.device
    )


def with_labels(images, change):
    labels = change(images.labels.copy())
    pixels = torch.cat([batch.pixels for batch in images])
    return ImageSet.from_arrays(pixels, labels, names=images.names)


def and_mirrored(images):
    """Twice as many: of twenty photographs alone a network that hardly looks at colours says too little of them."""
    pixels = torch.cat([batch.pixels for batch in images])
    return ImageSet.from_arrays(torch.cat([pixels, pixels.flip(3)]), np.tile(images.labels, 2))


# ------------------------------------------------------------------------------------------ the model


@broken("logits_are_not_probabilities")
def softmax_on_top(sound, images):
    return Setup(around(sound, after=lambda logits: logits.softmax(dim=1)), images)


@broken("model_is_in_eval_mode")
def put_back_into_train_mode(sound, images):
    class PutBack(nn.Sequential):
        def forward(self, images):
            self[0].train()
            return super().forward(images)

    net = PutBack(nn.Dropout(0.0), sound.module).eval()  # a layer that matters, and none of the sound model's
    return Setup(
        Classifier.from_preprocessing(net, sound.preprocessing, name="broken", device=sound.device), images
    )


@broken("same_images_give_the_same_logits")
def dropout_in_the_forward_pass(sound, images):
    drop = lambda logits: nn.functional.dropout(logits, 0.2, training=True)  # noqa: E731
    return Setup(around(sound, after=drop), images)


@broken("same_images_give_the_same_logits")
def random_noise_as_a_defence(sound, images):
    return Setup(around(sound, before=lambda pixels: pixels + 0.1 * torch.randn_like(pixels)), images)


@broken("an_image_does_not_depend_on_its_batch")
def normalised_over_the_batch(sound, images):
    return Setup(around(sound, after=lambda logits: logits - logits.mean(dim=0) + logits[:1]), images)


@broken("logits_are_finite")
def overflow(sound, images):
    return Setup(around(sound, after=lambda logits: (logits * 1e4).exp()), images)


# --------------------------------------------------------------------------------------- the gradient


@broken("gradient_reaches_the_pixels")
def gradient_cut(sound, images):
    return Setup(around(sound, before=torch.Tensor.detach), images)


@broken("gradient_reaches_the_pixels")
def pixels_rounded_inside(sound, images):
    return Setup(around(sound, before=lambda pixels: (pixels * 64).round() / 64), images)


@broken("gradient_reaches_the_pixels")
def logits_rounded(sound, images):
    return Setup(around(sound, after=lambda logits: (logits * 10).round() / 10), images)


class Backward(torch.autograd.Function):
    """The identity, whose gradient is whatever it is told to be."""

    @staticmethod
    def forward(ctx, pixels, change):
        ctx.change = change
        return pixels.clone()

    @staticmethod
    def backward(ctx, grad):
        return ctx.change(grad), None


@broken("loss_goes_up_along_the_step")
def sign_flipped(sound, images):
    return Setup(around(sound, before=lambda pixels: Backward.apply(pixels, torch.neg)), images)


@broken("gradient_agrees_with_finite_differences")
def backward_that_is_not_the_forward_s(sound, images):
    mirrored = lambda pixels: Backward.apply(pixels, lambda grad: grad.flip(3))  # noqa: E731
    return Setup(around(sound, before=mirrored), images)


@broken("gradient_changes_with_the_image")
def stored_gradient(sound, images):
    stored = torch.randn((3, *sound.input_size), generator=torch.Generator().manual_seed(0))
    constant = lambda pixels: Backward.apply(pixels, stored.expand_as)  # noqa: E731
    return Setup(around(sound, before=constant), images)


# --------------------------------------------------------------------------------- labels and pixels


@broken("no_other_preprocessing_fits_better")
def wrong_mean_and_std(sound, images):
    return Setup(
        with_rule(sound, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)), and_mirrored(images)
    )


@broken("no_other_preprocessing_fits_better")
def not_normalised_at_all(sound, images):
    return Setup(with_rule(sound, mean=(0.0,) * 3, std=(1 / 255,) * 3), images)


@broken("no_other_preprocessing_fits_better")
def channels_swapped(sound, images):
    return Setup(around(sound, before=lambda pixels: pixels.flip(1)), and_mirrored(images))


@broken("no_other_preprocessing_fits_better")
def rows_and_columns_exchanged(sound, images):
    return Setup(around(sound, before=lambda pixels: pixels.transpose(2, 3)), images)


@broken("no_other_order_of_classes_fits_better")
def labels_off_by_one(sound, images):
    return Setup(sound, with_labels(images, lambda labels: np.minimum(labels + 1, 999)))


@broken("no_other_order_of_classes_fits_better")
def folders_sorted_as_text(sound, images):
    place = np.argsort(np.argsort([str(index) for index in range(1000)]))
    return Setup(sound, with_labels(images, lambda labels: place[labels]))


@broken("clean_accuracy_is_far_above_chance")
def labels_shuffled(sound, images):
    return Setup(sound, with_labels(images, lambda labels: (labels * 7 + 11) % 1000))


# --------------------------------------------------------------------------------------- the attack


@contextlib.contextmanager
def registered(*functions):
    """Attacks and defences that are there for a while."""
    with temporary_steps():
        for name, function, register in functions:
            register(name)(function)
        yield


def attack(name, function):
    return lambda: registered((name, function, robustcheck.register_attack))


def defence(name, function, gradient):
    return lambda: registered((name, function, lambda n: robustcheck.register_defence(n, gradient=gradient)))


def divided_twice(classifier, images, labels, *, epsilon):
    unit = images.float() / 255
    signs = loss_gradient(classifier, images, labels).values.sign()
    return ((unit + epsilon / 255 / 255 * signs).clamp(0, 1) * 255).round().to(torch.uint8)


@broken("perturbation_stays_within_epsilon_when_saved", attack("Twice", divided_twice))
def epsilon_divided_by_255_twice(sound, images):
    return Setup(sound, images, "Twice")


def truncating(classifier, images, labels, *, epsilon):
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    normalised = (images.float() / 255 - mean) / std
    signs = loss_gradient(classifier, images, labels).values.sign()
    moved = (normalised + epsilon / 255 / std * signs) * std + mean
    back = (moved.clamp(0, 1) * 255).to(torch.uint8).int()  # where it should round
    return (images.int() + (back - images.int()).clamp(-max(epsilon, 1), max(epsilon, 1))).to(torch.uint8)


@broken("epsilon_zero_changes_nothing", attack("Truncating", truncating))
def truncation_instead_of_rounding(sound, images):
    return Setup(sound, images, "Truncating")


def in_normalised_space(classifier, images, labels, *, epsilon):
    signs = loss_gradient(classifier, images, labels).values.sign()
    return (images.float() / 255 + epsilon / 255 / 0.225 * signs).clamp(0, 1).mul(255).round().to(torch.uint8)


@broken("perturbation_stays_within_epsilon_when_saved", attack("Normalised", in_normalised_space))
def epsilon_in_normalised_space(sound, images):
    return Setup(sound, images, "Normalised")


def downhill(classifier, images, labels, *, epsilon):
    signs = loss_gradient(classifier, images, labels).values.sign()
    return (images.float() - epsilon * signs).clamp(0, 255).to(torch.uint8)


@broken("attack_beats_random_signs", attack("Downhill", downhill))
def loss_that_is_minimised(sound, images):
    return Setup(sound, images, "Downhill")


def lucky(classifier, images, labels, *, epsilon):
    noise = torch.randint(-epsilon, epsilon + 1, images.shape)
    return (images.int() + noise).clamp(0, 255).to(torch.uint8)


@broken("attack_gives_the_same_images_twice", attack("Lucky", lucky))
def attack_without_a_seed(sound, images):
    return Setup(sound, images, "Lucky")


def blurred_at_random(images):
    return (images.float() + 8 * torch.randn(images.shape)).clamp(0, 255).to(images.dtype)


@broken("attack_gives_the_same_images_twice", defence("Shaken", blurred_at_random, "identity"))
def random_defence_evaluated_once(sound, images):
    return Setup(sound, images)


def with_a_wrong_gradient(images):
    if images.is_floating_point():
        return Backward.apply(images, lambda grad: -grad)
    return images


@broken("adaptive_attack_is_not_weaker_than_blind", defence("Decoy", with_a_wrong_gradient, "own"))
def defence_whose_gradient_misleads(sound, images):
    return Setup(sound, images)


@broken("transfer_is_not_stronger_than_white_box")
def gradient_masked_by_decoy(sound, images):
    noise = torch.randn((3, *sound.input_size), generator=torch.Generator().manual_seed(1))
    decoy = lambda pixels: Backward.apply(pixels, lambda grad: noise.expand_as(grad) * grad.abs().mean())  # noqa: E731
    return Setup(around(sound, before=decoy), images)


@broken("codec_keeps_its_contract", lambda: mock.patch.object(jpeg, "roundtrip", _in_444))
def another_subsampling(sound, images):
    return Setup(sound, images)


_ROUNDTRIP = jpeg.roundtrip


def _in_444(images, *, quality=75, codec="auto", **_):
    return _ROUNDTRIP(images, quality=quality, subsampling="4:4:4", codec=codec)


def small_epsilons_only(classifier, images, labels, *, epsilon):
    if epsilon > 8:  # "such images would not be natural"
        return images
    return (
        (images.float() + epsilon * loss_gradient(classifier, images, labels).values.sign())
        .clamp(0, 255)
        .to(torch.uint8)
    )


@broken("harm_grows_with_epsilon", attack("Timid", small_epsilons_only))
def large_perturbations_dropped(sound, images):
    return Setup(sound, images, "Timid")


# ------------------------------------------------------------------------------------ those of the mutation suite


def mutated(name, caught_by):
    """Add a fault that `robustcheck.mutation` declares."""

    def make(sound, images):
        made = MUTATIONS[name].change(Sound(sound, images, lambda _classifier: images))
        return Setup(made.classifier, made.images)

    make.__name__ = name
    ZOO[name] = Broken(make, caught_by)


mutated("pixels_not_scaled", "no_other_preprocessing_fits_better")
mutated("last_layer_not_loaded", "clean_accuracy_is_far_above_chance")
mutated("classes_in_another_order", "no_other_order_of_classes_fits_better")
mutated("gradient_mirrored", "gradient_agrees_with_finite_differences")
mutated("gradient_of_half_the_image", "every_part_of_the_image_has_its_gradient")
mutated("images_duplicated", "images_are_not_copies")

AS_MUTATION = {
    "softmax_on_top": "softmax_on_top",
    "put_back_into_train_mode": "train_mode",
    "dropout_in_the_forward_pass": "dropout_left_on",
    "random_noise_as_a_defence": "noise_inside_the_network",
    "normalised_over_the_batch": "logits_depend_on_the_batch",
    "gradient_cut": "gradient_cut",
    "pixels_rounded_inside": "pixels_rounded_inside",
    "logits_rounded": "logits_rounded",
    "sign_flipped": "gradient_reversed",
    "backward_that_is_not_the_forward_s": "gradient_mirrored",
    "stored_gradient": "gradient_of_noise",
    "wrong_mean_and_std": "normalisation_of_another_model",
    "not_normalised_at_all": "normalisation_dropped",
    "channels_swapped": "channels_swapped",
    "rows_and_columns_exchanged": "rows_and_columns_exchanged",
    "labels_off_by_one": "labels_shifted",
    "folders_sorted_as_text": "labels_sorted_as_text",
    "labels_shuffled": "labels_shuffled",
    "epsilon_divided_by_255_twice": "epsilon_a_255th",
    "loss_that_is_minimised": "gradient_reversed",
    "gradient_masked_by_decoy": "gradient_of_noise",
    "large_perturbations_dropped": "large_epsilons_dropped",
    **{name: name for name in ZOO if name in MUTATIONS},
}
"""The set-ups that the mutation suite can make of any run's own, and their names there."""
NO_MUTATION = {
    "overflow": "an evaluation refuses logits that are not finite: every gate is red",
    "truncation_instead_of_rounding": "it is in an attack's own code",
    "epsilon_in_normalised_space": "it is in an attack's own code, and an evaluation refuses what exceeds epsilon",
    "attack_without_a_seed": "it is in an attack's own code",
    "random_defence_evaluated_once": "it is in a defence's own code",
    "defence_whose_gradient_misleads": "it is in a defence's own code",
    "another_subsampling": "a view can't name JPEG's subsampling",
}
"""The others, with the reason."""


def examine(name, sound, images, only=None):
    """Return what the checks find of one set-up."""
    from robustcheck.sanity.registry import examine as run

    with ZOO[name].context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        setup = ZOO[name].make(sound, images)
        return run(setup.classifier, setup.images, attack=setup.attack, transfer="sample:lite1", only=only)


SLOW = (
    "one_step_is_not_stronger_than_many",
    "more_steps_are_not_weaker",
    "adaptive_steps_are_near_their_best",
)
"""Left out of the table unless a set-up is named: they iterate."""


def main(names):
    from robustcheck import load_model, open_images
    from robustcheck.sanity.registry import CHECKS

    sound = load_model("sample", device="cpu")
    images = open_images("sample", size=sound.preprocessing)
    for name in names or ZOO:
        only = [check for check in CHECKS if names or check not in SLOW]
        caught = [result for result in examine(name, sound, images, only) if not result.passed]
        expected = ZOO[name].caught_by in {result.name for result in caught}
        by = ", ".join(result.name for result in caught)
        print(f"{name}: {'caught' if expected else 'MISSED'} by {by}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
