"""What each step of the notation does to a batch of images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustcheck import jpeg
from robustcheck.attacks import loss_gradient, permuted_noise, random_signs
from robustcheck.attacks.fgs import add_signs
from robustcheck.attacks.noise import image_seeds
from robustcheck.errors import RobustcheckError
from robustcheck.evaluation.plan import CLEAN_GRADIENT, GradientOf
from robustcheck.models import Classifier
from robustcheck.notation import View, X, parse


class BatchRun:
    """One batch on its way through a plan: every image, logit and gradient made so far, by view.

    Images are uint8 (n, 3, H, W) on the classifier's device.
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
        top_labels: Tensor | None,
    ) -> None:
        self.classifier, self.ids, self.labels, self.seed, self.codec = classifier, ids, labels, seed, codec
        self.images: dict[View, Tensor] = {X: clean}
        self.logits: dict[View, Tensor] = {}
        self._signs: dict[GradientOf, Tensor] = {}
        self._top_labels = top_labels

    @property
    def top_labels(self) -> Tensor:
        """l_x: the model's own top label on each clean image, int64 (n,)."""
        if self._top_labels is None:
            if X not in self.logits:
                with torch.no_grad():
                    self.logits[X] = self.classifier.logits(self.images[X].float())
            self._top_labels = self.logits[X].argmax(dim=1)
        return self._top_labels

    def make(self, view: View) -> None:
        """Make the images of a view; those that it is made from are there already."""
        self.images[view] = IMPLEMENTATIONS[view.step](self, view)

    def seeds(self, view: View) -> list[int]:
        """Return one seed per image for what is random in a view."""
        return image_seeds(self.seed, self.ids, str(view))

    def gradient_signs(self, wanted: GradientOf) -> Tensor:
        """Return the signs (-1, 0, 1) of a gradient, int8 (n, 3, H, W), computed once."""
        if wanted not in self._signs:
            self._signs[wanted] = self._compute_signs(wanted)
        return self._signs[wanted]

    def _compute_signs(self, wanted: GradientOf) -> Tensor:
        defence = _differentiable(wanted.through) if wanted.through else None
        finds_top_label = wanted == CLEAN_GRADIENT and self._top_labels is None
        labels = None if finds_top_label else self._targets(wanted.label)
        gradient = loss_gradient(self.classifier, self.images[wanted.source], labels, defence=defence)
        if defence is None:
            self.logits.setdefault(wanted.source, gradient.logits)
        return gradient.values.sign().to(torch.int8)

    def _targets(self, label: str | None) -> Tensor:
        if label == "top":
            return self.top_labels
        if bool((self.labels < 0).any()):
            raise RobustcheckError("an attack with [label=true] needs labels, and some images have none")
        return self.labels


def _differentiable(defence: str) -> Callable[[Tensor], Tensor]:
    quality = int(parse(defence).number)
    return lambda pixels: jpeg.differentiable(pixels, quality=quality)


def _adv(run: BatchRun, view: View) -> Tensor:
    return add_signs(run.images[view.source], run.gradient_signs(GradientOf.used_by(view)), view.number)


def _jpg(run: BatchRun, view: View) -> Tensor:
    return jpeg.roundtrip(run.images[view.source], quality=int(view.number), codec=run.codec)


def _jpg_noise(run: BatchRun, view: View) -> Tensor:
    recompressed = run.images[View("JPG", view.amount, (), view.sources)]
    return permuted_noise(run.images[view.source], recompressed, seeds=run.seeds(view))


def _noise(run: BatchRun, view: View) -> Tensor:
    return random_signs(run.images[view.source], epsilon=view.number, seeds=run.seeds(view))


IMPLEMENTATIONS: dict[str, Callable[[BatchRun, View], Tensor]] = {
    "Adv": _adv,
    "JPG": _jpg,
    "JPG_noise": _jpg_noise,
    "Noise": _noise,
}
"""By the names in `robustcheck.notation.STEPS`."""
