"""Whether labels and pixels are read as they are meant: another reading that fits better gives a wrong one away."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from robustcheck.claims.record_warnings import chance_finding, too_few_to_tell
from robustcheck.models import Classifier
from robustcheck.sanity.check import Failed, Skipped
from robustcheck.sanity.subject import Subject, require_labels

ALPHA = 0.01
"""Chance that another reading is said to fit better, where the model's own probabilities are right."""
_NORMALISATIONS = {
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mean and std 0.5": ((0.5,) * 3, (0.5,) * 3),
    "pixels in 0..1, not normalised": ((0.0,) * 3, (1.0,) * 3),
    "pixels in 0..255, not normalised": ((0.0,) * 3, (1 / 255,) * 3),
}
_TEMPERATURES = tuple(1.2**power for power in range(-16, 17))


@dataclass(frozen=True)
class Reading:
    """Another way in which the same images and labels may have been meant."""

    name: str
    pixels: Tensor
    classes: Tensor
    classifier: Classifier


def clean_accuracy_is_far_above_chance(subject: Subject) -> str:
    """Clean accuracy is far above that of guessing.

    Look at the weights, the order of the classes, the labels and the normalisation.
    """
    require_labels(subject.images)
    records, classes = subject.records("x"), subject.classifier.probe()
    if too_few_to_tell(len(records), classes):
        raise Skipped(f"{len(records)} images among {classes} classes are too few to tell from chance")
    if finding := chance_finding(records, classes):
        raise Failed(finding)
    return f"{records.mean('accuracy', 'x'):.0%} of {len(records)} images, of {classes} classes"


def no_other_order_of_classes_fits_better(subject: Subject) -> str:
    """The labels fit the model's classes better than shifted by one, or in another order.

    The labels count from another start (a background class?) or follow another order (folders sorted as text: 0, 1, 10,
    100, ...): map them to the model's classes.
    """
    own = _own_reading(subject)
    return _compare(subject, own, list(_orders(own)))


def no_other_preprocessing_fits_better(subject: Subject) -> str:
    """The labels fit better under the preprocessing that is given than under other usual ones.

    The model was trained on pixels that were prepared in another way: look at mean and std, at what the model
    normalises itself, at the order of the channels, and at whether the images lie on their side.
    """
    own = _own_reading(subject)
    return _compare(subject, own, list(_preprocessings(own)))


def _compare(subject: Subject, own: Reading, others: list[Reading]) -> str:
    given = _log_likelihoods(subject, own)
    evidence = {other.name: _evidence(given, _log_likelihoods(subject, other)) for other in others}
    best = max(evidence, key=evidence.__getitem__)
    if evidence[best] > math.log(1 / ALPHA):
        raise Failed(
            f"the labels of {len(given)} images are {_times(evidence[best])} as likely under another reading: {best}"
        )
    return f"none of {len(others)} others fits {len(given)} images better"


def _log_likelihoods(subject: Subject, reading: Reading) -> np.ndarray:
    """Return log p(class) of each image, float64 (n,), at the temperature that suits the reading best.

    Without it a model that is less sure than it could be (label smoothing) would fit better under any normalisation
    that merely raises contrast.
    """
    size = subject.evaluation.batch_size
    with torch.no_grad():
        parts = [reading.classifier.logits(part.float()) for part in torch.split(reading.pixels, size)]
    logits = torch.cat(parts).double().cpu()
    scores = torch.stack(
        [(logits / t).log_softmax(dim=1) for t in _TEMPERATURES]
    )  # (temperatures, n, classes)
    fitted = scores.gather(2, reading.classes.expand(len(scores), -1)[:, :, None])[:, :, 0]
    return fitted[fitted.sum(dim=1).argmax()].numpy()


def _evidence(given: np.ndarray, other: np.ndarray) -> float:
    """Return the log-likelihood ratio in favour of another reading, 0 where only a few images are for it.

    If the model's probabilities are right under the reading that is given, it is above log(1 / ALPHA) with
    probability at most ALPHA, whatever the other is (Markov's inequality). Models are not that well calibrated, and an
    image of which one is wrongly sure could outweigh all others: so temperatures are fitted, and half of the images
    must be for it.
    """
    gain = other - given
    return float(gain.sum()) if (gain > 0).mean() >= 0.5 else 0.0


def _times(evidence: float) -> str:
    return f"{math.exp(evidence):.0f} times" if evidence < 10 else f"10^{evidence / math.log(10):.0f} times"


def _orders(own: Reading) -> Iterator[Reading]:
    count = own.classifier.probe()
    as_text = sorted(range(count), key=str)
    position = sorted(range(count), key=as_text.__getitem__)
    for name, order in (
        ("each label one less", [max(0, index - 1) for index in range(count)]),
        ("each label one more", [min(count - 1, index + 1) for index in range(count)]),
        ("labels are places in the order of class numbers sorted as text", as_text),
        ("class numbers sorted as text are what the model knows", position),
        ("classes in reverse order", list(reversed(range(count)))),
    ):
        classes = torch.tensor(order)[own.classes]
        if not torch.equal(classes, own.classes):
            yield replace(own, name=name, classes=classes)


def _preprocessings(own: Reading) -> Iterator[Reading]:
    is_grey = own.classifier.preprocessing.is_grey
    for order in [] if is_grey else [*permutations(range(3))][1:]:
        named = ", ".join(("red", "green", "blue")[channel] for channel in order)
        yield replace(own, name=f"channels in the order {named}", pixels=own.pixels[:, order])
    yield replace(own, name="images upside down", pixels=own.pixels.flip(2))
    if own.pixels.shape[2] == own.pixels.shape[3]:
        yield replace(own, name="rows and columns exchanged", pixels=own.pixels.transpose(2, 3).contiguous())
    model, rule = own.classifier, own.classifier.preprocessing
    for name, numbers in _NORMALISATIONS.items():
        mean, std = (each[: len(rule.mean)] for each in numbers)
        if (rule.mean, rule.std) != (mean, std):
            other = Classifier.from_preprocessing(
                model.module, replace(rule, mean=mean, std=std), name=model.name, device=model.device
            )
            yield replace(own, name=name, classifier=other)


def _own_reading(subject: Subject) -> Reading:
    require_labels(subject.images)
    (batch,) = subject.images.batches(len(subject.images))
    return Reading("as given", batch.pixels, batch.labels, subject.classifier)


CHECKS = (
    clean_accuracy_is_far_above_chance,
    no_other_order_of_classes_fits_better,
    no_other_preprocessing_fits_better,
)
