"""Set-ups that are wrong in ways that pass for right, around the small networks, and the check that should say so.

`python -m tests.sanity.kinds` prints what all checks find of each kind on each sound network.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from robustcheck.attacks import loss_gradient
from tests import toys
from tests.sanity import networks
from tests.sanity.zoo import Setup, around, attack, defence, with_labels


@dataclass(frozen=True)
class Kind:
    make: Callable
    caught_by: str
    context: Callable = contextlib.nullcontext
    untold: tuple[str, ...] = ()
    """The networks on which it can't be told from a sound set-up."""


KINDS: dict[str, Kind] = {}


def kind(caught_by, context=contextlib.nullcontext, untold=()):
    def add(make):
        KINDS[make.__name__] = Kind(make, caught_by, context, untold)
        return make

    return add


# --------------------------------------------------------------------------------------- gradients cut in part

PART = "every_part_of_the_image_has_its_gradient"


def cut(sound, images, part):
    """The gradient of a part of the image, a mask (3, 16, 16), is cut."""
    return Setup(around(sound, before=lambda pixels: torch.where(part, pixels.detach(), pixels)), images)


def block(rows=slice(None), columns=slice(None), channels=slice(None)):
    part = torch.zeros(3, 16, 16, dtype=torch.bool)
    part[channels, rows, columns] = True
    return part


@kind(PART)
def cut_on_the_left_half(sound, images):
    return cut(sound, images, block(columns=slice(8)))


@kind(PART)
def cut_on_the_middle_quarter(sound, images):
    return cut(sound, images, block(slice(4, 12), slice(4, 12)))


@kind(PART)
def cut_on_one_channel(sound, images):
    return cut(sound, images, block(channels=1))


@kind(PART)
def cut_on_a_quarter_of_the_pixels(sound, images):
    return cut(
        sound,
        images,
        torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)).expand(3, 16, 16) < 0.25,
    )


@kind(PART)
def a_corner_rounded(sound, images):
    part = block(slice(8, None), slice(8, None))
    return Setup(
        around(sound, before=lambda pixels: torch.where(part, (pixels * 8).round() / 8, pixels)), images
    )


# ------------------------------------------------------------------------------------------------ defences


class Cache:
    """A defence that returns the nearest of the images that it has been shown, if one is near."""

    def __init__(self):
        self.known = []

    def __call__(self, images):
        found = []
        for image in images.detach():
            near = [one for one in self.known if (one.float() - image.float()).abs().max() <= 40]
            if not near:
                self.known.append(image.to(torch.uint8))
            found.append(near[0].to(images.dtype) if near else image)
        return torch.stack(found)


def cache(images):
    return _CACHE(images)


@contextlib.contextmanager
def _with_cache():
    global _CACHE  # noqa: PLW0603 - a repository's own is a module's variable, too
    _CACHE = Cache()
    with defence("Cache", cache, "identity")():
        yield


@kind("defence_does_not_know_the_images", _with_cache)
def defence_that_looks_images_up(sound, images):
    return Setup(sound, images)


def stretched(images):
    """Contrast stretched by the batch's own extremes, in place of each image's."""
    pixels = images.float() * 0.9
    return (pixels - pixels.mean() + 100).clamp(0, 255).round().to(images.dtype)


@kind("defence_treats_each_image_alone", defence("Stretched", stretched, "identity"))
def defence_that_depends_on_its_batch(sound, images):
    return Setup(sound, images)


def spread(images):
    return (images.float() / images.max() * 255).clamp(0, 255).round().to(images.dtype)


@kind("defence_treats_each_image_alone", defence("Spread", spread, "identity"))
def defence_scaled_by_the_largest_pixel_of_its_batch(sound, images):
    return Setup(sound, images)


def dimmed(images):
    return (images // 4) * 4 if images.dtype == torch.uint8 else images


@kind("defence_is_the_same_on_floats", defence("Dimmed", dimmed, "own"))
def defence_that_leaves_floats_alone(sound, images):
    return Setup(sound, images)


def halved(images):
    return (images + images) // 2  # wraps around in uint8


@kind("defence_is_the_same_on_floats", defence("Halved", halved, "own"))
def defence_that_wraps_around_in_bytes(sound, images):
    return Setup(sound, images)


# ------------------------------------------------------------------------------------------------- attacks


def stepwise(classifier, images, labels, epsilon, *, target=None, stop=False, steps=20):
    """Projected gradient descent from the images, at a target, or as far as the first success."""
    found, signs = images.float(), 1 if target is None else -1
    aims = labels if target is None else torch.full_like(labels, target)
    for _ in range(steps):
        with torch.no_grad():
            going = (
                classifier.logits(found).argmax(1) == labels
                if stop
                else torch.ones_like(labels, dtype=torch.bool)
            )
        moved = found + signs * 2.5 * epsilon / steps * loss_gradient(classifier, found, aims).values.sign()
        moved = (images + (moved - images).clamp(-epsilon, epsilon)).clamp(0, 255)
        found = torch.where(going.view(-1, 1, 1, 1), moved, found)
    return found.round().to(torch.uint8)


def at_class_1(classifier, images, labels, *, epsilon: int):
    return stepwise(classifier, images, labels, epsilon, target=1)


@kind("attack_moves_away_from_any_class", attack("Aimed", at_class_1))
def attack_aimed_at_one_class(sound, images):
    return Setup(sound, images, "Aimed")


def step_at_class_0(classifier, images, labels, *, epsilon: int):
    values = loss_gradient(classifier, images, torch.zeros_like(labels)).values
    return (images - epsilon * values.sign()).clamp(0, 255).round().to(torch.uint8)


@kind("attack_moves_away_from_any_class", attack("Step", step_at_class_0))
def one_step_at_one_class(sound, images):
    return Setup(sound, images, "Step")


def first_success(classifier, images, labels, *, epsilon: int):
    return stepwise(classifier, images, labels, epsilon, stop=True)


@kind("attack_goes_on_after_success", attack("First", first_success))
def attack_that_stops_at_the_first_success(sound, images):
    return Setup(sound, images, "First")


# ----------------------------------------------------------------------------------------- images and labels

NOT_COLOURED = ("plain", "robust", "two", "grey")


@kind("no_other_preprocessing_fits_better", untold=NOT_COLOURED)
def channels_rotated(sound, images):
    return Setup(around(sound, before=lambda pixels: pixels[:, [1, 2, 0]]), images)


def exchange(classes):
    def change(labels):
        place = np.arange(10)
        place[list(classes)] = np.roll(list(classes), 1)
        return place[labels]

    return change


@kind("no_classes_are_exchanged")
def two_classes_swapped(sound, images):
    return Setup(sound, with_labels(images, exchange((0, 1))))


@kind("no_classes_are_exchanged", untold=("two",))
def half_of_the_classes_permuted(sound, images):
    return Setup(sound, with_labels(images, exchange((1, 3, 5, 7, 9))))


@kind("errors_are_as_many_as_confidence_allows")
def most_labels_wrong(sound, images):
    classes = sound.probe()
    draw = np.random.default_rng(0)
    other = np.where(draw.random(len(images)) < 0.6, draw.integers(1, classes, len(images)), 0)
    return Setup(sound, with_labels(images, lambda labels: (labels + other) % classes))


@kind("errors_are_as_many_as_confidence_allows", untold=("two", "easy"))
def labels_of_the_model_itself(sound, images):
    predictions = sound(toys.pixels_of(images)).argmax(1).numpy()
    return Setup(sound, with_labels(images, lambda _: predictions))


@kind("images_are_not_copies")
def every_image_ten_times(sound, images):
    return Setup(sound, images.subset(np.repeat(np.arange(len(images)), 10)))


@kind("labels_name_several_classes")
def one_class_only(sound, images):
    return Setup(sound, images.subset(np.flatnonzero(images.labels == 1)))


@kind("images_are_enough_to_show_anything")
def three_images(sound, images):
    return Setup(sound, images.subset(range(3)))


def examine(name, network, only=None):
    """Return what the checks find of a kind on a network."""
    from robustcheck.sanity.registry import examine as run

    with KINDS[name].context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        setup = KINDS[name].make(*networks.trained(network))
        return run(setup.classifier, setup.images, attack=setup.attack, only=only)


def main(names):
    for name in names or KINDS:
        for network in networks.SOUND:
            found = [result for result in examine(name, network) if result.state in ("failed", "warned")]
            own = {result.name: result for result in examine(name, network, [KINDS[name].caught_by])}
            flagged = ", ".join(f"{result.name} {result.state}" for result in found)
            print(f"{name} on {network}: {flagged or own[KINDS[name].caught_by]}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
