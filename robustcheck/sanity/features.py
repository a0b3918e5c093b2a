"""A network's features: what its last linear layer is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustcheck.models import Classifier

FeaturesOf = Callable[[Tensor], Tensor]
"""From float pixels 0..255 (n, 3, H, W) to float32 (n, features), differentiable."""


def features_of(classifier: Classifier, images: Tensor) -> FeaturesOf:
    """Return what a network's last linear layer is given, or its logits where no such layer makes them.

    `images`, uint8 (n, 3, H, W), show which layer it is.
    """
    returned: list[tuple[nn.Module, torch.Size]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, found: returned.append((layer, found.shape)))
        for layer in classifier.module.modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        with torch.no_grad():
            logits = classifier.logits(images.float())
    finally:
        for hook in hooks:
            hook.remove()
    if not returned or returned[-1][1] != logits.shape:
        return classifier.logits
    return LayerInput(classifier, returned[-1][0])


@dataclass(frozen=True)
class LayerInput:
    """What one layer of a network is given, as a function of the pixels."""

    classifier: Classifier
    layer: nn.Module

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return it for float pixels 0..255."""
        given: list[Tensor] = []
        hook = self.layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        try:
            self.classifier.logits(pixels)
        finally:
            hook.remove()
        return given[-1].float()
