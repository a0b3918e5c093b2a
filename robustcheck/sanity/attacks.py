"""Checks of the attack that is examined, and of the order in which attacks must stand."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from robustcheck.attacks import Ball, gradient_ascent
from robustcheck.attacks.custom import attack_with_epsilon_0
from robustcheck.attacks.pgd import step_size
from robustcheck.claims.intervals import sign_test
from robustcheck.claims.record_warnings import stronger_than_it_should_be
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, X, parse
from robustcheck.sanity.check import Failed, Skipped
from robustcheck.sanity.defences import registered_defences
from robustcheck.sanity.subject import Subject
from robustcheck.text import fixed

SMALL, LARGE, HUGE = 1, 8, 128
FEW_STEPS, MANY_STEPS = 2, 10
SIGNS_LEVEL = 0.01
"""Probability that an attack which is no better than random signs is taken for one that is."""
MUCH_STRONGER = 0.05
"""A difference in mean p(l_x) that another step size may not make."""
NEARLY_NOTHING = 0.1
"""Share of predictions that may be left at epsilon 128: an image that far from its own can be any other."""


def epsilon_zero_changes_nothing(subject: Subject) -> str:
    """With epsilon 0 the attack returns the images it was given, to the level.

    On the way there and back pixels change by themselves: look for truncation in place of rounding
    ((x * 255).astype(uint8) lowers 62 of 256 levels), for a resize, and for a random start that ignores epsilon.
    """
    images = subject.few
    try:
        found = _attack_with_epsilon_0(subject, images)
    except RobustcheckError as error:  # an attack may refuse it, as robustcheck's own do
        raise Skipped(f"{subject.attack} takes no epsilon of 0 ({error})") from None
    changed = float((found != images).double().mean())
    if changed:
        raise Failed(f"with epsilon 0, {subject.attack} changes {changed:.1%} of the samples")
    return f"{subject.attack} with epsilon 0 changes no sample of {len(images)} images"


def perturbation_stays_within_epsilon_when_saved(subject: Subject) -> str:
    """Saved as 8-bit images and read again, adversarial images are within epsilon of the clean ones, and use it.

    Epsilon is in other units than 0..255 (divided by 255 once more, or in normalised space), is clipped twice or not at
    all, or the images are rounded in a way that moves them.
    """
    view = subject.view(LARGE)
    try:
        rows = range(min(len(subject.few), len(subject.images)))
        looks = list(subject.evaluation.samples([view], rows))
    except RobustcheckError as error:
        raise Failed(str(error)) from None
    moved = [np.abs(_saved(look.images[view]) - _saved(look.images[X])) for look in looks]
    largest = np.array([change.max() for change in moved])
    if largest.max() > LARGE:
        raise Failed(f"{view} moves a sample by {largest.max()} levels")
    if np.median(largest) < LARGE / 2:
        raise Failed(
            f"{view} moves no sample of most images by more than {np.median(largest):.0f} of the {LARGE} levels"
        )
    return f"at most {largest.max()} of {LARGE} levels, in {len(moved)} images"


def attack_gives_the_same_images_twice(subject: Subject) -> str:
    """Evaluated a second time, the same images are attacked and defended in the same way.

    Something is drawn at random without a seed, in the attack, a defence or the model. One draw says little of it: draw
    from the parameter `seeds`, average over draws with [eot=K], and hold claims on several seeds.
    """
    views = [subject.view(LARGE), *_defended(subject.view(LARGE))]
    first = subject.records(*views)
    again = subject.evaluation.fresh()
    again.run(views, count=min(4, len(subject.images)))
    other = again.records
    for view in views:
        seen = other.seen(view)
        for column in ("l2", "prediction"):
            if not np.array_equal(first.columns[view][column][seen], other.columns[view][column][seen]):
                raise Failed(f"{view} came out otherwise the second time")
    return f"{', '.join(map(str, views))}: the same twice"


def attack_beats_random_signs(subject: Subject) -> str:
    """The attack raises the loss of more images than not, compared with random signs of its size.

    It has no gradient to go by, goes the wrong way, or loses its way in rounding: whatever withstands it has shown
    nothing. An attack that is no better than random signs passes with a probability of at most 1 %.
    """
    found = []
    for epsilon in (SMALL, LARGE):
        attack = subject.view(epsilon)
        noise = View("Noise", epsilon, (), attack.sources)
        gain = subject.loss_under(attack) - subject.loss_under(noise)
        better, worse = int((gain > 0).sum()), int((gain < 0).sum())
        if sign_test(better, worse) <= SIGNS_LEVEL / 2:  # of two epsilons, either will do
            return f"the loss is larger under {attack} than under {noise} on {better} of {len(gain)} images"
        found.append(f"on {better} of {len(gain)} images under {attack} than under {noise}")
    if sign_test(len(gain), 0) > SIGNS_LEVEL / 2:
        raise Skipped(f"{len(gain)} images are too few to tell an attack from random signs")
    raise Failed(f"the loss is larger {' and '.join(found)} only")


def one_step_is_not_stronger_than_many(subject: Subject) -> str:
    """Projected gradient descent does at least the harm of the attack that is examined, at the same epsilon.

    An iterated attack that does less than one step takes steps that are too large, or is projected wrongly; or the
    gradient is masked near the image, so that only a large step gets away from it.
    """
    return _in_order(subject, subject.view(SMALL), f"PGD_{SMALL}[steps={MANY_STEPS}]")


def more_steps_are_not_weaker(subject: Subject) -> str:
    """More steps do at least the harm of fewer.

    The loss is no guide to where harm is (a masked gradient), or the step size does not shrink with their number.
    """
    return _in_order(subject, f"PGD_{SMALL}[steps={FEW_STEPS}]", f"PGD_{SMALL}[steps={MANY_STEPS}]")


def harm_grows_with_epsilon(subject: Subject) -> str:
    """A larger epsilon does at least the harm of a smaller one, and at 128 nearly nothing is left.

    At 128 an image may be turned into grey or into another's: a model that still stands has a masked gradient, or is
    not shown the perturbed images at all.
    """
    small, large, huge = (subject.view(epsilon) for epsilon in (SMALL, LARGE, HUGE))
    records = subject.records(small, large, huge)
    for one, other in ((small, large), (small, huge), (large, huge)):
        if problem := stronger_than_it_should_be(records, one, other):
            raise Failed(problem)
    kept = [records.mean("kept", view) for view in (small, large, huge)]
    if kept[2] > max(NEARLY_NOTHING, 2 / subject.classifier.probe()):
        raise Failed(f"{kept[2]:.0%} of the predictions are left under {huge}")
    return "predictions kept: " + ", ".join(
        f"{share:.0%} under {view}" for share, view in zip(kept, (small, large, huge), strict=True)
    )


def transfer_is_not_stronger_than_white_box(subject: Subject) -> str:
    """An attack made on another model does no more harm than one made on the model itself.

    The model's own gradient is masked: attack it through what masks it ([through=STEP:identity]), and do not trust any
    number that was found with it.
    """
    if subject.transfer is None:
        raise Skipped("no other model is named that knows the same classes (--robustcheck-transfer=SPEC)")
    weaker = View("Adv", SMALL, (("from", subject.transfer),), subject.view(SMALL).sources)
    if reason := subject.evaluation.unsupported_reason(weaker):
        raise Skipped(str(reason))
    return _in_order(subject, weaker, View("Adv", SMALL, (), weaker.sources))


def adaptive_attack_is_not_weaker_than_blind(subject: Subject) -> str:
    """An attack that goes through a defence does at least the harm of one that ignores it.

    The adaptive attack is too weak to say anything good of the defence: look at its gradient (try :identity in its
    place), its steps and step size, and average over what is random (eot=K).
    """
    found = []
    for blind in _defended(View("Adv", SMALL, (), (X,))):
        adaptive = blind.adaptive_counterpart
        if adaptive is None:
            continue
        try:
            found.append(_in_order(subject, blind, adaptive))
        except RobustcheckError as error:
            raise Failed(f"{adaptive}: {error}") from None
    return "; ".join(found)


def adaptive_steps_are_near_their_best(subject: Subject) -> str:
    """No other number or size of steps makes the adaptive attack on JPEG much stronger than its defaults.

    Another step size or more steps do much more harm: write them into the views that claims are about
    (PGD_e[steps=,step=]), or the defence looks better than it is.
    """
    attack, step = f"PGD_{SMALL}[through=JPG,steps={{}}{{}}]", step_size(SMALL, MANY_STEPS)
    default = parse(f"JPG({attack.format(MANY_STEPS, '')})")
    others = [parse(f"JPG({attack.format(MANY_STEPS // 2, '')})")]
    others += [parse(f"JPG({attack.format(MANY_STEPS, f',step={step * factor}')})") for factor in (0.5, 2)]
    subject.evaluation.run((default, *others), count=len(subject.few))
    records = subject.evaluation.records
    means = {view: records.mean("p_top", view) for view in (default, *others)}
    best = min(means, key=means.__getitem__)
    if means[default] - means[best] > MUCH_STRONGER:
        raise Failed(
            f"mean p(l_x) is {fixed(means[default], 3)} under {default} and {fixed(means[best], 3)} under {best}"
        )
    return "mean p(l_x) " + ", ".join(f"{fixed(mean, 3)} under {view}" for view, mean in means.items())


def _in_order(subject: Subject, weaker: str | View, stronger: str | View) -> str:
    weak, strong = parse(weaker), parse(stronger)
    records = subject.records(weak, strong)
    if problem := stronger_than_it_should_be(records, weak, strong):
        raise Failed(problem)
    means = [records.mean("p_top", view) for view in (weak, strong)]
    return f"mean p(l_x) {fixed(means[0], 3)} under {weak}, {fixed(means[1], 3)} under {strong}"


def _defended(attack: View) -> list[View]:
    """Return an attack behind each defence that can be written without an amount."""
    return [replace(view, sources=(attack,)) for view in registered_defences()]


def _attack_with_epsilon_0(subject: Subject, images: Tensor) -> Tensor:
    view = subject.view(SMALL)
    if view.declared.function is not None:
        return attack_with_epsilon_0(view, subject.classifier, images, subject.logits.argmax(dim=1))
    ball = Ball.around(images, 0)
    return gradient_ascent(ball, torch.ones_like, steps=1, step=ball.epsilon)


def _saved(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """Return an image (3, H, W) as it is read from a PNG file that it was written to."""
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "PNG")
    return np.asarray(Image.open(file)).transpose(2, 0, 1).astype(np.int16)


OF_THE_ATTACK = (
    "epsilon_zero_changes_nothing",
    "perturbation_stays_within_epsilon_when_saved",
    "attack_gives_the_same_images_twice",
    "attack_beats_random_signs",
    "one_step_is_not_stronger_than_many",
    "harm_grows_with_epsilon",
)
"""Those that say something of an attack that a repository registered."""

CHECKS = (
    epsilon_zero_changes_nothing,
    perturbation_stays_within_epsilon_when_saved,
    attack_gives_the_same_images_twice,
    attack_beats_random_signs,
    one_step_is_not_stronger_than_many,
    more_steps_are_not_weaker,
    harm_grows_with_epsilon,
    transfer_is_not_stronger_than_white_box,
    adaptive_attack_is_not_weaker_than_blind,
    adaptive_steps_are_near_their_best,
)
