"""What is examined: a classifier on some images, and what has been computed of the two."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robustcheck.attacks import Gradient, loss_gradient
from robustcheck.attacks.losses import log_odds_against
from robustcheck.evaluation.engine import Evaluation
from robustcheck.evaluation.runner import RunConfig
from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.notation import View, X, parse
from robustcheck.records import Records
from robustcheck.sanity.check import Skipped

Value = TypeVar("Value")

_FEW = 8
"""How many images the checks of outputs and gradients take."""


_MANY = 4
"""Times as many images for checks that take one forward pass of each."""


@dataclass(frozen=True)
class Answers:
    """What the model says of clean images."""

    ids: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]
    p_top: npt.NDArray[np.float64]


def require_labels(images: ImageSet) -> None:
    """Raise `Skipped` for images without labels."""
    if not images.has_labels:
        raise Skipped("the images have no labels")


class Subject:
    """A classifier on the first images of a set drawn at random; what several checks need is computed once."""

    def __init__(
        self,
        classifier: Classifier,
        images: ImageSet,
        *,
        attack: str = "Adv",
        transfer: Mapping[str, str] | None = None,
        count: int = 64,
        seed: int = 0,
        batch_size: int | str | None = None,
    ) -> None:
        self.classifier: Classifier = classifier
        self.attack: str = attack
        self.seed: int = seed
        self.transfer: str | None = next(iter(transfer or {}), None)
        """The name of the model that attacks are transferred from."""
        self.images: ImageSet = images.sample(count, seed=seed)
        self.set_size: int = len(images)
        self._labelled = images.sample(_MANY * count, seed=seed)
        self.evaluation: Evaluation = Evaluation(
            classifier, self.images, RunConfig(seed, batch_size, transfer=transfer or {})
        )
        self._images: dict[View, Tensor] = {}
        self._losses: dict[View, npt.NDArray[np.float64]] = {}
        self._made: dict[Hashable, object] = {}

    def view(self, epsilon: int) -> View:
        """Return the attack that is examined, at an epsilon."""
        return parse(f"{self.attack}_{epsilon}")

    def cached(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return what several checks need and one function makes, once for each key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]  # type: ignore[return-value]

    def records(self, *views: str | View) -> Records:
        """Return records that have some views of all images."""
        self.evaluation.run(views)
        return self.evaluation.records

    def images_under(self, view: View) -> Tensor:
        """Return all images under a view: uint8 (n, 3, H, W) on the CPU."""
        if view not in self._images:
            batches = self.images.batches(self.evaluation.batch_size)
            self._images[view] = torch.cat([self.evaluation.images_of(view, each).cpu() for each in batches])
        return self._images[view]

    @cached_property
    def top_labels(self) -> npt.NDArray[np.int64]:
        """The top labels of all images as they are: (n,)."""
        return self._logits_of_all(self.images_under(X)).argmax(dim=1).cpu().numpy()

    def loss_under(self, view: View) -> npt.NDArray[np.float64]:
        """Return the loss of all images under a view, against the top labels of the clean ones: (n,).

        It is the log-odds against the label, which tell images apart where the probability is 1 to rounding.
        """
        if view not in self._losses:
            logits = self._logits_of_all(self.images_under(view)).double().cpu()
            self._losses[view] = log_odds_against(torch.from_numpy(self.top_labels), logits).numpy()
        return self._losses[view]

    @cached_property
    def many(self) -> Answers:
        """What the model says of more images, as they are."""
        labelled = self._labelled
        batches = [*labelled.batches(self.evaluation.batch_size)]
        logits = self._logits_of_all(torch.cat([each.pixels for each in batches])).double().cpu()
        p_top, predictions = logits.softmax(dim=1).max(dim=1)
        ids = tuple(one for each in batches for one in each.ids)
        return Answers(ids, labelled.labels, predictions.numpy(), p_top.numpy())

    def _logits_of_all(self, images: Tensor) -> Tensor:
        parts = torch.split(images, self.evaluation.batch_size)
        return torch.cat([self.logits_of(part.float()) for part in parts])

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
