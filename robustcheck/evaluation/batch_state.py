"""One batch of images on its way through a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustcheck.attacks import Ensemble, HasLogits, Objective, loss_gradient
from robustcheck.attacks.batch import AttackFunction
from robustcheck.attacks.gradient_ascent import Norm, steepest
from robustcheck.attacks.rising_images import RisingImages
from robustcheck.attacks.seeds import image_seeds
from robustcheck.evaluation.plan import CLEAN_GRADIENT, GradientOf
from robustcheck.evaluation.prepared_model import PreparedModel
from robustcheck.models import Classifier
from robustcheck.notation import View, X, load
from robustcheck.transforms.through import through_defence
from robustcheck.transforms.transform import TransformCall, TransformFunction


@dataclass(frozen=True)
class CleanBatch:
    """The clean images of a batch on the classifier's device, and what is known of them."""

    pixels: Tensor  # uint8 (n, 3, H, W)
    ids: tuple[str, ...]
    labels: Tensor  # int64 (n,), -1 for none
    top_labels: Tensor | None = None  # int64 (n,), l_x, if the images were classified before


class BatchState:
    """Every image, logit and gradient of a batch made so far, by view.

    Images are uint8 (n, 3, H, W) on the classifier's device. `model` runs the classifier, which attacks are made on;
    `other_model` returns a model that a view's `from=A+B` names, to make them on instead.
    """

    def __init__(
        self,
        model: PreparedModel,
        clean: CleanBatch,
        *,
        seed: int,
        codec: str,
        batch_size: int,
        other_model: Callable[[str], HasLogits],
    ) -> None:
        self.classifier: Classifier = model.attacked
        self.ids: tuple[str, ...] = clean.ids
        self.labels: Tensor = clean.labels
        self.seed: int = seed
        self.codec: str = codec
        self.batch_size: int = batch_size
        self.images: dict[View, Tensor] = {X: clean.pixels}
        self.logits: dict[View, Tensor] = {}
        self.rising = RisingImages()
        self._model, self._other_model = model, other_model
        self._top_labels = clean.top_labels
        self._directions: dict[GradientOf, Tensor] = {}
        self._finite: dict[str, Tensor] = {}
        """By attack, in words, whether all its gradients are finite."""

    @property
    def top_labels(self) -> Tensor:
        """l_x: the model's own top label on each clean image, int64 (n,)."""
        if self._top_labels is None:
            self.classify([X])
            self._top_labels = self.logits[X].argmax(dim=1)
        return self._top_labels

    def classify(self, views: Iterable[View]) -> None:
        """Give the model the images of all views, and of their draws, that it has not seen, in full batches."""
        single = dict.fromkeys(each for view in views for each in (view.draws or (view,)))
        waiting = [view for view in single if view not in self.logits]
        if not waiting:
            return
        logits = self.logits_of(torch.cat([self.images[view] for view in waiting]))
        self.logits.update(zip(waiting, logits.chunk(len(waiting)), strict=True))

    def logits_of(self, images: Tensor) -> Tensor:
        """Return logits of uint8 images, without a gradient: float32 (n, classes)."""
        with torch.inference_mode():
            return self._model.logits(images, self.batch_size)

    # ----------------------------------------------------------------------------------------- making images

    def make(self, views: tuple[View, ...]) -> None:
        """Make the images of some views that belong together; those that they are made from are there already."""
        if views[0].draws:
            self.images.update((view, self.images[view.draws[0]]) for view in views)
            return
        kind = views[0].declared.kind
        if kind == "attack":
            attack: AttackFunction = load(views[0].declared.implementation)
            self.images.update(zip(views, attack(self, views), strict=True))
            return
        for view in views:
            if kind == "transform":
                self._transform(view)
            else:
                self._select(view)

    def _transform(self, view: View) -> None:
        transform: TransformFunction = load(view.declared.implementation)
        images, *needed = (self.images[each] for each in view.declared.needs(view))
        call = TransformCall(view, self.seeds(view), codec=self.codec, needed=tuple(needed))
        self.images[view] = transform(images, call)

    def _select(self, view: View) -> None:
        """Take of each image that of one of several views; its logits are chosen along with it."""
        select: Callable[[Tensor, Tensor], Tensor] = load(view.declared.implementation)
        self.classify(view.sources)
        labels = torch.where(self.labels >= 0, self.labels, self.top_labels)
        logits = torch.stack([self.logits[source] for source in view.sources])
        chosen = select(logits, labels)
        images = torch.stack([self.images[source] for source in view.sources])
        every = torch.arange(len(chosen), device=chosen.device)
        self.images[view], self.logits[view] = images[chosen, every], logits[chosen, every]
        rising = torch.stack([self.rising.of(source, self.labels) for source in view.sources])
        self.rising.note(view, rising[chosen, every])

    # ------------------------------------------------------------------------ for attacks, see `AttackBatch`

    def seeds(self, view: View | str) -> list[int]:
        """Return one seed per image for what is random in a view."""
        return image_seeds(self.seed, self.ids, str(view))

    def batch_seed(self, view: View) -> int:
        """Return one seed for all images, for an attack that draws by the batch."""
        (seed,) = image_seeds(self.seed, [" ".join(self.ids)], str(view))
        return seed

    def labels_of(self, attack: View) -> Tensor:
        """Return the labels whose loss an attack maximises, or its targets: int64 (n,)."""
        target = attack.options.get("target")
        if target == "least":
            self.classify([X])
            return self.logits[X].argmin(dim=1)
        if target is not None:
            return torch.full_like(self.labels, int(target))
        return self.labels if attack.options.label == "true" else self.top_labels

    def objective(self, attack: View, labels: Tensor, seeds: Sequence[int]) -> Objective:
        """Return the loss that an attack maximises, for rows with some labels and seeds."""
        options = attack.options
        return Objective(
            self._attacked(options["from"] or ()),
            labels,
            targeted=options.target is not None,
            loss=options.loss,
            is_random=options.eot > 1 or any(step.view.is_seeded for step in options.through),
            defence=through_defence(options.through) if options.through else None,
            samples=options.eot,
            seeds=seeds,
            batch_size=self.batch_size,
            watch=lambda values: self._watch(attack.alone, values),
        )

    def _attacked(self, names: Sequence[str]) -> HasLogits:
        """Return the model that an attack is made on: the classifier, unless others are named."""
        others = [self._other_model(name) for name in names]
        return Ensemble(tuple(others)) if len(others) > 1 else next(iter(others), self.classifier)

    def direction(self, attack: View) -> Tensor:
        """Return the direction of an attack's first step from its source, computed once for all that share it."""
        wanted = GradientOf.used_by(attack)
        if wanted is None:
            raise LookupError(f"{attack} shares no gradient")
        if wanted not in self._directions:
            objective = self.objective(attack, self.labels_of(attack), self.seeds(str(wanted)))
            self._keep(wanted, objective.gradient(self.images[attack.source])[0], attack.options.norm)
        return self._directions[wanted]

    def find_clean_gradient(self) -> None:
        """Compute the direction that attacks on the clean images share, and their logits on the way."""
        if self._model.differs:
            self.classify([X])  # their logits are not those of the gradient's forward pass
        labels = self._top_labels if X not in self.logits else self.top_labels
        found = loss_gradient(self.classifier, self.images[X], labels)
        self._watch("the attacks on clean images", found.values)
        self.logits.setdefault(X, found.logits)
        self._keep(CLEAN_GRADIENT, found.values, "inf")

    def _keep(self, which: GradientOf, gradient: Tensor, norm: Norm) -> None:
        direction = steepest(gradient, norm)
        self._directions[which] = direction.to(torch.int8) if norm == "inf" else direction

    def _watch(self, attack: str, values: Tensor) -> None:
        """Note, without waiting for the device, whether a gradient is finite."""
        finite = values.isfinite().all()
        self._finite[attack] = self._finite[attack] & finite if attack in self._finite else finite

    @property
    def finite_gradients(self) -> tuple[tuple[str, ...], Tensor]:
        """The attacks that gradients were computed for, in words, and whether all of each were finite: bool (attacks,)."""
        flags = [*self._finite.values()]
        return tuple(self._finite), torch.stack(flags) if flags else torch.empty(0, dtype=torch.bool)

    @property
    def clean_direction(self) -> Tensor | None:
        """The signs that attacks on the clean images share, int8 (n, 3, H, W), if they were needed."""
        return self._directions.get(CLEAN_GRADIENT)
