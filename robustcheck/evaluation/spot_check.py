"""One image, classified again before anything is taken from a store: a model may change in ways that no digest shows."""

from __future__ import annotations

import torch

from robustcheck.images import Batch
from robustcheck.models import Classifier, Precision

_APART, _APART_BELOW = {"fp32": 1e-3}, 2e-2
"""How far p(top) may be from what the store says of it, by precision: the image is classified alone."""


class SpotCheck:
    """Whether a classifier gives what a store says of it, asked once."""

    def __init__(self, classifier: Classifier, precision: str) -> None:
        self.is_done = False
        self._classifier, self._precision = classifier, precision

    def objection(self, stored: float, batch: Batch) -> str:
        """Return what speaks against the store, whose p(top) for the first image of a batch is `stored`; or nothing."""
        self.is_done = True
        classifier = self._classifier
        precision = Precision(self._precision, classifier.device)
        with torch.inference_mode(), precision.arithmetic():
            now = float(classifier.logits(batch.pixels[:1].float()).double().softmax(dim=1).max())
        if abs(now - stored) <= _APART.get(self._precision, _APART_BELOW):
            return ""
        return (
            f"{classifier.name} gives p(top) {now:.4f} for {batch.names[0]}, and the record store has {stored:.4f} from "
            "before: the model draws at random, or it changed in a way that neither its weights nor its code show"
        )
