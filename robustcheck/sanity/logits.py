"""Checks of what the model puts out."""

from __future__ import annotations

import torch

from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.diagnostics import AGREE, difference, looks_like_probabilities
from robustcheck.models.eval_mode import layers_in_train_mode
from robustcheck.sanity.check import Failed
from robustcheck.sanity.subject import Subject


def logits_are_finite(subject: Subject) -> str:
    """The model returns finite numbers, one for each image and class.

    Nothing can be said of a model that returns NaN or infinity: look for overflow (half precision?), a division by
    zero, or damaged weights.
    """
    try:
        subject.classifier.check_finite(subject.logits)
    except RobustcheckError as error:
        raise Failed(str(error)) from None
    count, classes = subject.logits.shape
    return f"{classes} finite logits for each of {count} images"


def logits_are_not_probabilities(subject: Subject) -> str:
    """The model returns logits, and not probabilities.

    A softmax is in the model, and another would be put on top: p(top) and every loss are then those of a nearly
    uniform distribution, and gradients vanish where the model is sure. Leave out the model's own softmax.
    """
    if looks_like_probabilities(subject.logits):
        raise Failed("every row of the output lies in 0..1 and adds up to 1")
    sums = subject.logits.sum(dim=1)
    return f"rows add up to {float(sums.min()):.3g} .. {float(sums.max()):.3g}"


def model_is_in_eval_mode(subject: Subject) -> str:
    """No layer acts as in training while the model is evaluated.

    Dropout and batch statistics make outputs a matter of chance and of the batch's other images. An evaluation calls
    .eval() on the model, so something leaves layers in train mode or puts them back: look for .train() in its forward
    pass, and for an eval() or train() of its own.
    """
    with subject.classifier.evaluating():
        subject.logits_of(subject.few.float())
        kinds = layers_in_train_mode(subject.classifier.module)
    if kinds:
        raise Failed(f"in train mode: {', '.join(kinds)}")
    return "every layer that acts differently in training is in eval mode"


def same_images_give_the_same_logits(subject: Subject) -> str:
    """The same batch gives the same logits twice.

    The model draws something at random (dropout, noise, a random defence). One evaluation of it makes an attack look
    better than it is, since it may just have met a lucky draw: make it deterministic for the test, or attack it with
    [eot=K] and claim averages over several seeds.
    """
    apart = difference(subject.logits, subject.logits_of(subject.few.float()))
    if apart > AGREE:
        raise Failed(f"the same images gave logits that differ by {apart:.2g} of their spread")
    return f"differ by {apart:.1g} of their spread"


def an_image_does_not_depend_on_its_batch(subject: Subject) -> str:
    """An image gives the same logits alone as in a batch.

    Images leak into each other (batch statistics in use, a normalisation over the batch): accuracy then depends on
    what is evaluated together, and an attack on one image moves another. Look for batch norm that is not in eval mode
    and for means over the first dimension.
    """
    alone = torch.cat([subject.logits_of(image[None].float()) for image in subject.few])
    apart = difference(subject.logits, alone)
    if apart > AGREE:
        raise Failed(f"alone, images gave logits that differ by {apart:.2g} of their spread")
    return f"differ by {apart:.1g} of their spread"


CHECKS = (
    logits_are_finite,
    logits_are_not_probabilities,
    model_is_in_eval_mode,
    same_images_give_the_same_logits,
    an_image_does_not_depend_on_its_batch,
)
