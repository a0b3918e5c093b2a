"""An attack as a function: the view of the same name, run on a batch of a caller's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from robustcheck.attacks.arguments import check_classifier, check_images, check_labels, ids_of, whole_number
from robustcheck.attacks.batch import AttackFunction
from robustcheck.attacks.gradient import check_gradient
from robustcheck.attacks.gradient_ascent import steepest
from robustcheck.attacks.objective import Objective
from robustcheck.attacks.rising_images import RisingImages
from robustcheck.attacks.seeds import image_seeds
from robustcheck.eager import reads_values
from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier
from robustcheck.notation import View, X, load


class CallBatch:
    """Images, labels and defence of one call, as an attack's implementation takes them: an `AttackBatch`."""

    def __init__(
        self,
        classifier: Classifier,
        images: Tensor,
        *,
        labels: Tensor | None = None,
        targets: Tensor | None = None,
        defence: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
        batch_size: int = 32,
    ) -> None:
        check_classifier(classifier)
        check_images(images, classifier)
        if labels is not None and targets is not None:
            raise RobustcheckError("give labels (untargeted) or targets (targeted), not both")
        for name, given in (("labels", labels), ("targets", targets)):
            if given is not None:
                check_labels(given, images, classifier, name)
        if defence is not None and not callable(defence):
            raise RobustcheckError(f"defence must be a function of float pixels 0..255, got {defence!r}")
        self.classifier = classifier
        self.images: Mapping[View, Tensor] = {X: images.to(classifier.device)}
        self.batch_size: int = whole_number("batch_size", batch_size)
        self.seed: int = whole_number("seed", seed, least=None)
        self.rising = RisingImages()
        self._targeted = targets is not None
        self._labels = labels if targets is None else targets
        self._defence = defence

    @cached_property
    def ids(self) -> list[str]:
        """The id of each image, by its pixels."""
        return ids_of(self.images[X])

    def seeds(self, view: View | str) -> list[int]:
        """Return one seed per image for what is random in a view."""
        return image_seeds(self.seed, self.ids, str(view))

    def batch_seed(self, view: View) -> int:
        """Return one seed for all images, for an attack that draws by the batch."""
        (seed,) = image_seeds(self.seed, [" ".join(self.ids)], str(view))
        return seed

    def labels_of(self, _attack: View) -> Tensor:
        """Return the labels or targets: int64 (n,)."""
        if self._labels is None:
            parts = torch.split(self.images[X], self.batch_size)
            self._labels = torch.cat([self.classifier(part) for part in parts]).argmax(dim=1)
        return self._labels.to(self.classifier.device)

    def objective(self, attack: View, labels: Tensor, seeds: Sequence[int]) -> Objective:
        """Return the loss that an attack maximises, for rows with some labels and seeds."""
        defence = self._defence
        return Objective(
            self.classifier,
            labels,
            targeted=self._targeted,
            loss=attack.options.loss,
            is_random=defence is not None,  # which may draw
            defence=None if defence is None else lambda pixels, _seeds: defence(pixels),
            seeds=seeds,
            batch_size=self.batch_size,
            watch=lambda values: check_gradient(values, self.classifier, "on the way from these images"),
        )

    def direction(self, attack: View) -> Tensor:
        """Return the direction of an attack's first step from its source."""
        objective = self.objective(attack, self.labels_of(attack), self.seeds(attack))
        return steepest(objective.gradient(self.images[attack.source])[0])


@reads_values
def run_call(view: View, classifier: Classifier, images: Tensor, **given: Any) -> Tensor:
    """Return a view of a caller's images, on their device; `given` are the other arguments of `CallBatch`.

    The network is in eval mode meanwhile.
    """
    check_classifier(classifier)
    attack: AttackFunction = load(view.declared.implementation)
    with classifier.evaluating():
        (found,) = attack(CallBatch(classifier, images, **given), [view])
    return found.to(images.device)
