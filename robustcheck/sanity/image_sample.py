"""Checks of the images and labels as a sample: whether they can tell anything, and whether they may be what they say."""

from __future__ import annotations

from collections import Counter

import numpy as np

from robustcheck.sanity.check import Failed, Skipped, Warned
from robustcheck.sanity.subject import Subject, require_labels

_LEVEL = 0.01
_CHANCE = 0.001
_MOST_COPIES = 0.1
_FEWEST = 5
"""Images of a class that a word on the class takes."""
_MOSTLY, _NEARLY_ALWAYS = 0.6, 0.85
"""How often one class is called another, and all of a circle of classes together."""
_FAR_TOO_MANY = 0.25
"""Share of errors beyond those that the model's confidence allows."""


def images_are_enough_to_show_anything(subject: Subject) -> str:
    """There are enough images for a claim that holds on all of them to show that it holds for most.

    If n of n images agree, what lies above half with 95 % confidence takes n >= 5: give more images.
    """
    n = len(subject.images)
    low = 0.05 ** (1 / n)
    if low < 0.5:
        raise Failed(f"{n} of {n} images show no more than a share of {low:.0%} (95 % confidence)")
    return f"{n} of {n} images would show a share of {low:.0%}"


def images_are_not_copies(subject: Subject) -> str:
    """The images differ from each other.

    Intervals and tests count each copy as one more image, and are too sure: remove the duplicates, or look for a list
    that repeats itself. A set where at most one in ten has a copy fails with a probability of at most 1 %.
    """
    from scipy.special import gammaincinv

    n, whole = len(subject.many.ids), subject.set_size
    pairs = sum(count * (count - 1) // 2 for count in Counter(subject.many.ids).values())
    least = (
        float(gammaincinv(pairs, _LEVEL)) if pairs and n < whole else float(pairs)
    )  # Poisson's lower bound
    copies = least * whole / (n * (n - 1) / 2) if n > 1 else 0.0
    if copies > _MOST_COPIES:
        raise Failed(
            f"{n - len(set(subject.many.ids))} of {n} images are copies of others, so that an image of the {whole} has "
            f"at least {copies:.1f} copies on average"
        )
    return f"{n - len(set(subject.many.ids))} of {n} images are copies of others"


def labels_name_several_classes(subject: Subject) -> str:
    """The labels are of more than one class.

    A model that always gives the same answer gets all of them right: take images of all classes, or look for labels
    that were read from the wrong place.
    """
    require_labels(subject.images)
    labels, classes = subject.many.labels, subject.classifier.probe()
    if len(set(labels.tolist())) > 1:
        return f"{len(set(labels.tolist()))} classes among {len(labels)} images"
    chance = float(classes) ** (1 - len(labels))
    if chance > _CHANCE:
        raise Skipped(f"{len(labels)} images among {classes} classes are too few to tell")
    raise Failed(f"all {len(labels)} images have the label {labels[0]}, of {classes} classes")


def no_classes_are_exchanged(subject: Subject) -> str:
    """No classes are called each other, nearly always.

    The labels number some classes otherwise than the model does: compare the two lists of class names.
    """
    require_labels(subject.images)
    labels, predictions = subject.many.labels, subject.many.predictions
    taken_for: dict[int, tuple[int, int, int]] = {}
    for label in np.unique(labels).tolist():
        answers = Counter(predictions[labels == label].tolist())
        answer, often = answers.most_common(1)[0]
        total = sum(answers.values())
        if total >= _FEWEST and answer != label and often >= _MOSTLY * total:
            taken_for[label] = answer, often, total
    exchanged = _on_a_cycle({label: answer for label, (answer, *_) in taken_for.items()})
    often, total = (sum(taken_for[label][at] for label in exchanged) for at in (1, 2))
    if exchanged and often >= _NEARLY_ALWAYS * total:
        raise Failed(
            ", ".join(
                f"label {label} is called {taken_for[label][0]} on {taken_for[label][1]} of {taken_for[label][2]} images"
                for label in exchanged
            )
        )
    seen = sum(int((labels == label).sum()) >= _FEWEST for label in np.unique(labels))
    return f"none of {seen} classes with {_FEWEST} images or more, of {len(labels)} images"


def errors_are_as_many_as_confidence_allows(subject: Subject) -> str:
    """The model makes about as many errors as its own probabilities lead to expect.

    Far more: labels are wrong, or the inputs are not what the model was made for (preprocessing, another kind of image),
    or it is overconfident. None at all: the labels may be the model's own predictions; take labels from people.
    """
    require_labels(subject.images)
    many = subject.many
    n, errors = len(many.labels), int((many.predictions != many.labels).sum())
    expected = float((1 - many.p_top).sum())
    from scipy.special import gammainc

    if errors and errors > expected + _FAR_TOO_MANY * n and float(gammainc(errors, expected)) < _CHANCE:
        raise Warned(
            f"{errors} of {n} images are wrong, where its probabilities lead to expect {expected:.1f}"
        )
    none = float(np.log(many.p_top).sum())
    if not errors and none < np.log(_LEVEL):
        raise Warned(
            f"none of {n} images is wrong, where its probabilities lead to expect {expected:.1f}: a chance of "
            f"{np.exp(none):.1g}"
        )
    return f"{errors} of {n} images are wrong, expected {expected:.1f}; none would have a chance of {np.exp(none):.2g}"


def _on_a_cycle(step: dict[int, int]) -> list[int]:
    """Return the keys that following the map from them leads back to."""
    found = []
    for start in step:
        at: int | None = start
        for _ in step:
            at = None if at is None else step.get(at)
            if at == start:
                found.append(start)
                break
    return found


CHECKS = (
    images_are_enough_to_show_anything,
    images_are_not_copies,
    labels_name_several_classes,
    no_classes_are_exchanged,
    errors_are_as_many_as_confidence_allows,
)
