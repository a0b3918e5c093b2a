"""One batch of images on its way through a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from robustcheck.attacks import Ball, HasLogits, Objective, loss_gradient
from robustcheck.attacks.noise import image_seeds
from robustcheck.evaluation.plan import CLEAN_GRADIENT, GradientOf
from robustcheck.evaluation.prepared_model import Running
from robustcheck.models import Classifier
from robustcheck.notation import View, X
from robustcheck.transforms.through import passage


class BatchState:
    """Every image, logit and gradient of a batch made so far, by view.

    Images are uint8 (n, 3, H, W) on the classifier's device. `other_model` gives the model that a view's
    `from=SPEC` names; `running` is how views are classified, None for just by the classifier.
    """

    def __init__(
        self,
        classifier: Classifier,
        clean: Tensor,
        *,
        ids: tuple[str, ...],
        labels: Tensor,
        seed: int,
        codec: str,
        batch_size: int,
        top_labels: Tensor | None = None,
        other_model: Callable[[str], HasLogits],
        running: Running | None = None,
    ) -> None:
        self.classifier, self.ids, self.labels, self.seed, self.codec = classifier, ids, labels, seed, codec
        self._running = running or Running.plain(classifier)
        self.batch_size = batch_size
        self.images: dict[View, Tensor] = {X: clean}
        self.logits: dict[View, Tensor] = {}
        self._directions: dict[GradientOf, Tensor] = {}
        self._finite: dict[View, Tensor] = {}
        self._top_labels = top_labels
        self._other_model = other_model

    @property
    def top_labels(self) -> Tensor:
        """l_x: the model's own top label on each clean image, int64 (n,)."""
        if self._top_labels is None:
            self.classify([X])
            self._top_labels = self.logits[X].argmax(dim=1)
        return self._top_labels

    def seeds(self, view: View | str) -> list[int]:
        """Return one seed per image for what is random in a view."""
        return image_seeds(self.seed, self.ids, str(view))

    def classify(self, views: Iterable[View]) -> None:
        """Give the model the images of all views that it has not seen, in full batches."""
        waiting = [view for view in views if view not in self.logits]
        if not waiting:
            return
        logits = self.logits_of(torch.cat([self.images[view] for view in waiting]))
        self.logits.update(zip(waiting, logits.chunk(len(waiting)), strict=True))

    def logits_of(self, images: Tensor) -> Tensor:
        """Return logits of uint8 images, without a gradient: float32 (n, classes)."""
        with torch.inference_mode():
            return self._running.logits(images, self.batch_size)

    def labels_of(self, attack: View) -> Tensor:
        """Return the labels that an attack flees from, or its targets: int64 (n,)."""
        target = attack.option("target")
        if target == "least":
            self.classify([X])
            return self.logits[X].argmin(dim=1)
        if target is not None:
            return torch.full_like(self.labels, int(target))
        return self.labels if attack.option("label") == "true" else self.top_labels

    def objective(self, attack: View, labels: Tensor, seeds: list[int]) -> Objective:
        """Return what an attack climbs, for rows with some labels."""
        through, model = attack.option("through"), attack.option("from")
        return Objective(
            self.classifier if model is None else self._other_model(model),
            labels,
            toward=attack.option("target") is not None,
            defence=passage(through) if through else None,
            samples=int(attack.option("eot") or 1),
            seeds=seeds,
            batch_size=self.batch_size,
            watch=lambda values: self._watch(attack, values),
        )

    def find_clean_gradient(self) -> None:
        """Compute the direction that every `Adv_e` of the clean images shares, and their logits on the way."""
        if self._running.differs:
            self.classify([X])  # their logits are not those of the gradient's forward pass
        labels = self._top_labels if X not in self.logits else self.top_labels
        found = loss_gradient(self.classifier, self.images[X], labels)
        self._watch(View("Adv", 1, (), (X,)), found.values)
        self.logits.setdefault(X, found.logits)
        self._directions[CLEAN_GRADIENT] = found.values.sign().to(torch.int8)

    def _watch(self, attack: View, values: Tensor) -> None:
        """Note, without waiting for the device, whether a gradient is finite."""
        finite = values.isfinite().all()
        self._finite[attack] = self._finite[attack] & finite if attack in self._finite else finite

    @property
    def finite_gradients(self) -> tuple[tuple[View, ...], Tensor]:
        """The attacks that gradients were computed for, and whether all of each were finite: bool (attacks,)."""
        attacks = tuple(self._finite)
        flags = [self._finite[attack] for attack in attacks]
        return attacks, torch.stack(flags) if flags else torch.empty(0, dtype=torch.bool)

    @property
    def clean_direction(self) -> Tensor | None:
        """The signs that every `Adv_e` of the clean images goes along, int8 (n, 3, H, W), if they were needed."""
        return self._directions.get(CLEAN_GRADIENT)

    def direction(self, attack: View, ball: Ball) -> Tensor:
        """Return the direction in which an attack takes its first step from its source, computed once."""
        wanted = GradientOf.used_by(attack)
        if wanted is None:
            raise LookupError(f"{attack} shares no gradient")
        if wanted not in self._directions:
            objective = self.objective(attack, self.labels_of(attack), self.seeds(str(wanted)))
            direction = ball.steepest(objective.gradient(self.images[attack.source]))
            self._directions[wanted] = direction.to(torch.int8) if ball.norm == "inf" else direction
        return self._directions[wanted]
