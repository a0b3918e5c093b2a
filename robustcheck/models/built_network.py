"""A network that a source has built, on its way to a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from robustcheck.models.classifier import Classifier
from robustcheck.models.device import resolve_device
from robustcheck.models.preprocessing import Preprocessing


class BuiltNetwork(NamedTuple):
    """A network on its weights, which nobody else holds."""

    module: nn.Module
    has_own_classes: bool = True
    """Whether it has the classes that its source names, rather than another number of them."""
    origin: str = ""
    """What reports add about where its weights came from."""

    def classifier(
        self,
        preprocessing: Preprocessing,
        *,
        name: str,
        device: str | torch.device,
        class_names: Sequence[str] | None = None,
    ) -> Classifier:
        """Return its classifier; the network goes into eval mode, and to `device` without a copy."""
        return Classifier.from_preprocessing(
            self.module.eval().requires_grad_(requires_grad=False).to(resolve_device(device)),
            preprocessing,
            name=name,
            device=device,
            class_names=class_names if self.has_own_classes else None,
            origin=self.origin,
        )
