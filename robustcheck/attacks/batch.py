"""What an attack's implementation is given: a batch of images, and what is computed once for all its views.

An implementation is a function of a batch and of the views to make, `(batch, views) -> [images, ...]`: uint8
(n, 3, H, W) for each view, within its epsilon. There are several views where the registry's row says in what they may
differ, else one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from robustcheck.attacks.objective import Objective
from robustcheck.attacks.rising_images import RisingImages
from robustcheck.models import Classifier
from robustcheck.notation import View


class AttackBatch(Protocol):
    """Images of a batch by view, and the labels, seeds, losses and shared gradients of attacks on them."""

    @property
    def classifier(self) -> Classifier:
        """The classifier that is attacked."""

    @property
    def images(self) -> Mapping[View, Tensor]:
        """By view, uint8 (n, 3, H, W) on the classifier's device; those that the views are made from are there."""

    @property
    def batch_size(self) -> int:
        """How many images the classifier takes at once."""

    @property
    def rising(self) -> RisingImages:
        """Where attacks of several steps note on which images they were still rising when they stopped."""

    def seeds(self, view: View | str) -> list[int]:
        """Return one seed per image for what is random in a view."""

    def batch_seed(self, view: View) -> int:
        """Return one seed for all images, for an attack that draws by the batch."""

    def labels_of(self, attack: View) -> Tensor:
        """Return the labels whose loss an attack maximises, or its targets: int64 (n,)."""

    def objective(self, attack: View, labels: Tensor, seeds: Sequence[int]) -> Objective:
        """Return the loss that an attack maximises, for rows with some labels and seeds."""

    def direction(self, attack: View) -> Tensor:
        """Return the direction of an attack's first step from its source, computed once for all that share it."""


AttackFunction = Callable[[AttackBatch, Sequence[View]], Sequence[Tensor]]
