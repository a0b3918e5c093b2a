"""What is examined: a classifier on some images, and what has been computed of the two."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from robustcheck.attacks import Gradient, loss_gradient
from robustcheck.attacks.gradient import log_odds_against
from robustcheck.evaluation.engine import Evaluation
from robustcheck.evaluation.runner import RunConfig
from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.notation import View, parse
from robustcheck.records import Records

_FEW = 8
"""How many images the checks of outputs and gradients take."""


class Subject:
    """A classifier on the first images of a set drawn at random; what several checks need is computed once."""

    def __init__(
        self,
        classifier: Classifier,
        images: ImageSet,
        *,
        attack: str = "Adv",
        transfer: str | None = None,
        count: int = 64,
        seed: int = 0,
        batch_size: int | str | None = None,
    ) -> None:
        self.classifier, self.attack, self.transfer = classifier, attack, transfer
        self.images = images.sample(count, seed=seed)
        self.evaluation = Evaluation(classifier, self.images, RunConfig(seed, batch_size))

    def view(self, epsilon: int) -> View:
        """Return the attack that is examined, at an epsilon."""
        return parse(f"{self.attack}_{epsilon}")

    def records(self, *views: str | View) -> Records:
        """Return records that have some views of all images."""
        self.evaluation.run(views)
        return self.evaluation.records

    @cached_property
    def few(self) -> Tensor:
        """Some clean images on the classifier's device: uint8 (n, 3, H, W), n >= 2."""
        pixels = next(self.images.batches(_FEW)).pixels
        if len(pixels) == 1:
            pixels = torch.cat([pixels, pixels.flip(3)])
        return pixels.to(self.classifier.device)

    @cached_property
    def logits(self) -> Tensor:
        """Their logits: float32 (n, classes)."""
        return self.logits_of(self.few.float())

    @cached_property
    def gradient(self) -> Gradient:
        """Their logits and gradients, against their top labels; raises `RobustcheckError` where there is none."""
        return loss_gradient(self.classifier, self.few)

    def logits_of(self, pixels: Tensor) -> Tensor:
        """Return logits of float pixels, without a gradient."""
        with torch.no_grad():
            return self.classifier.logits(pixels)

    def loss_of(self, pixels: Tensor) -> Tensor:
        """Return the loss against the clean top labels, for float pixels made from `few`: float64 (n,)."""
        return log_odds_against(self.logits.argmax(dim=1), self.logits_of(pixels).double())
