"""Networks of torchvision, by name, with their default weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models import WeightsEnum, get_model, get_model_weights, list_models

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models.built_network import BuiltNetwork
from robustcheck.models.checkpoints.checkpoint import Checkpoint, read_checkpoint
from robustcheck.models.checkpoints.download_errors import weights_from
from robustcheck.models.checkpoints.state_dicts import Tensors
from robustcheck.models.checkpoints.weights import build_with
from robustcheck.models.classifier import Classifier
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.specs import MODEL_SOURCES, forms

# Layers that only training uses; torchvision drops them from its own weights, too.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
_DENSENET_NAMES = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


def load(name: str, *, weights: Path | None, device: str | torch.device) -> Classifier:
    """Load the network `name` on torchvision's default weights, or on those of a file.

    Preprocessing and class names are those of the default weights in either case.
    """
    default = _default_weights(name)
    if weights is None:
        with weights_from("torchvision's hub", name=name, file=default.url):
            built = BuiltNetwork(get_model(name, weights=default, progress=False))
    else:
        built = _on_own_weights(name, default, read_checkpoint(weights))
    preprocessing, class_names = preprocessing_of_weights(default), tuple(default.meta["categories"])
    return built.classifier(preprocessing, name=name, device=device, class_names=class_names)


def preprocessing_of(name: str) -> Preprocessing:
    """Return the preprocessing of the network `name`, with its default weights."""
    return preprocessing_of_weights(_default_weights(name))


def preprocessing_of_weights(weights: WeightsEnum) -> Preprocessing:
    """Return `weights.transforms()` as a `Preprocessing`."""
    transform: Any = weights.transforms()
    (resize,), (crop,) = transform.resize_size, transform.crop_size
    return Preprocessing(
        input_size=(crop, crop),
        resize=resize,
        interpolation=transform.interpolation.value,
        mean=transform.mean,
        std=transform.std,
    )


def _default_weights(name: str) -> WeightsEnum:
    names = list_models(module=torchvision.models)
    if name not in names:
        raise RobustcheckError(f"{unknown('model', name, names)}. A model is {forms(MODEL_SOURCES)}")
    default: WeightsEnum = get_model_weights(name)["DEFAULT"]
    return default


def _on_own_weights(name: str, default: WeightsEnum, checkpoint: Checkpoint) -> BuiltNetwork:
    arguments = _arguments_set_by_weights(name, default)

    def build(classes: int | None) -> nn.Module:
        given = arguments if classes is None else {**arguments, "num_classes": classes}
        module: nn.Module = get_model(name, weights=None, **given)
        return module

    return build_with(build, checkpoint, name=name, renamings=(_current_names,))


def _arguments_set_by_weights(name: str, default: WeightsEnum) -> dict[str, Any]:
    """Return the arguments that torchvision derives from its own weights, for weights that it doesn't know."""
    if name in {"googlenet", "inception_v3"}:
        return {"transform_input": True, "aux_logits": False, "init_weights": False}
    if name.startswith("vit_"):
        return {"image_size": default.meta["min_size"][0]}
    return {}


def _current_names(tensors: Tensors, _module: nn.Module) -> Tensors:
    kept = {key: value for key, value in tensors.items() if not key.startswith(_AUXILIARY)}
    return {_DENSENET_NAMES.sub(r"\1\2", key): value for key, value in kept.items()}
