"""Checks of where an attack goes: away from the model's answer, whatever that is, and as far as epsilon lets it."""

from __future__ import annotations

import torch
from torch import Tensor

from robustcheck.claims.intervals import sign_test
from robustcheck.images import ImageSet
from robustcheck.notation import View, X, parse
from robustcheck.sanity.check import Failed, Skipped
from robustcheck.sanity.subject import Subject

_EPSILONS = (8, 32, 128)
_LEVEL = 0.01 / len(_EPSILONS)
"""Probability of a false alarm at one epsilon, where either outcome is as likely on each image."""
_ENOUGH = 9
"""Images that can show it at this level, if they agree."""


def attack_moves_away_from_any_class(subject: Subject) -> str:
    """The attack moves images away from the model's answer, whatever class that is, also from where it drove them.

    The attack makes for one class rather than away from the model's answer: images that the model takes for that
    class become more certain. Maximise the loss of `labels`, which the attack is given. Attacks that raise the loss of
    three images in four of each class fail with a probability of at most 2 %.
    """
    _check_each_class(subject, subject.view(_EPSILONS[0]))
    found = ""
    for epsilon in _EPSILONS:
        view = subject.view(epsilon)
        moved = subject.images_under(view)[torch.from_numpy(subject.loss_under(view) > 0)]
        if len(moved) < _ENOUGH:
            continue
        up, down = _after_another_attack(subject, moved, epsilon)
        if sign_test(down, up) <= _LEVEL:
            raise Failed(
                f"of {len(moved)} images that {view} drove to another class, a second attack makes {down} more certain"
            )
        found = f"of {len(moved)} images under {view}, a second attack takes {up} away from their new class"
        if sign_test(up, down) <= _LEVEL:
            return found
    if not found:
        raise Skipped(f"the attack changes fewer than {_ENOUGH} predictions")
    return found


def attack_goes_on_after_success(subject: Subject) -> str:
    """Where it changes predictions, the attack raises the loss at least as far as a single step does.

    The attack stops at the first success (or looks for the smallest perturbation): any defence undoes that, and
    p(l_x) says nothing. Use all of epsilon, and keep the largest loss. Attacks that go as far fail with a probability
    of at most 1 %.
    """
    if subject.attack == "Adv":
        return "it is a single step"
    found = ""
    for epsilon in _EPSILONS:
        view = subject.view(epsilon)
        own, single = (subject.loss_under(each) for each in (view, parse(f"Adv_{epsilon}")))
        both = (own > 0) & (single > 0)
        if both.sum() < _ENOUGH:
            continue
        less, more = int((own < single)[both].sum()), int((own > single)[both].sum())
        if (own > 0).sum() >= (single > 0).sum() and sign_test(less, more) <= _LEVEL:
            raise Failed(
                f"{view} changes {(own > 0).sum()} predictions, Adv_{epsilon} {(single > 0).sum()}, and yet its loss is "
                f"the smaller on {less} of {both.sum()} images that both change"
            )
        found = f"the loss is larger under {view} than under Adv_{epsilon} on {more} of {both.sum()} images"
        if sign_test(more, less) <= _LEVEL:
            return found
    if not found:
        raise Skipped(f"it and a single step change fewer than {_ENOUGH} predictions of the same images")
    return found


def _check_each_class(subject: Subject, view: View) -> None:
    """Raise `Failed` where an attack makes the images of a class more certain."""
    from scipy.special import bdtrc

    labels, down = subject.top_labels, subject.loss_under(view) < subject.loss_under(X)
    classes = sorted({*labels.tolist()})
    for label in classes:
        own = down[labels == label]
        if float(bdtrc(int(own.sum()) - 1, len(own), 0.25)) <= 0.01 / len(classes):
            raise Failed(
                f"{view} makes {int(own.sum())} of the {len(own)} images that the model takes for {label} more certain"
            )


def _after_another_attack(subject: Subject, images: Tensor, epsilon: int) -> tuple[int, int]:
    """Return on how many images the attack raises, and lowers, the loss of their own top label."""
    again = Subject(
        subject.classifier,
        ImageSet.from_arrays(images, name="attacked images"),
        attack=subject.attack,
        count=len(images),
        batch_size=subject.evaluation.batch_size,
    )
    change = again.loss_under(again.view(epsilon)) - again.loss_under(X)
    return int((change > 0).sum()), int((change < 0).sum())


OF_THE_ATTACK = ("attack_moves_away_from_any_class", "attack_goes_on_after_success")

CHECKS = (attack_moves_away_from_any_class, attack_goes_on_after_success)
