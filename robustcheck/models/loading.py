"""From what a user names a model by to a classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import torch

from robustcheck.errors import RobustcheckError
from robustcheck.models import importpath, sample, timm, torchvision
from robustcheck.models.classifier import Classifier
from robustcheck.models.device import resolve_device

Loader: TypeAlias = Callable[..., Classifier]  # (what stands after the prefix, *, weights, device)

# A prefix stands before a colon, or alone: "timm:resnet18", "sample".
_LOADERS: Mapping[str, Loader] = {"sample": sample.load, "timm": timm.load}


def load_model(
    spec: str, *, weights: str | Path | None = None, device: str | torch.device = "auto"
) -> Classifier:
    """The classifier that `spec` names.

    `spec` is a torchvision name (`resnet50`, on its default weights), `timm:NAME`, `package.module:callable`,
    `sample`, or `sample:lite1` or `sample:lite2`. `weights` is a file to take the weights from instead, as
    safetensors or as saved by torch.save; then nothing is downloaded, and the preprocessing is still that of
    the named model. `device` is "auto" (CUDA where there is one), "cpu", "cuda", "cuda:N" or a torch.device.

    Raises RobustcheckError for an unknown model, weights that are missing, unsafe or another network's, a hub
    that cannot be reached, and a device that is not there.
    """
    if not isinstance(spec, str):
        raise RobustcheckError(
            f"a model is named by a string, not by {type(spec).__name__}; a network of your own: "
            "robustcheck.Classifier(net, mean=..., std=..., input_size=...)"
        )
    prefix, colon, rest = spec.partition(":")
    file = None if weights is None else Path(weights).expanduser()
    asked = resolve_device(device)
    if prefix in _LOADERS:
        if not rest and (colon or prefix == "timm"):
            raise RobustcheckError(
                f"model {spec!r} lacks a name after {prefix}:, as in timm:resnet18.a1_in1k or sample:lite1"
            )
        return _LOADERS[prefix](rest, weights=file, device=asked)
    if not colon:
        return torchvision.load(spec, weights=file, device=asked)
    if not (prefix and rest):
        raise RobustcheckError(f"model {spec!r} is neither a name nor package.module:callable")
    # A Classifier of the user's own stays where they put it, unless a device was asked for.
    return importpath.load(spec, weights=file, device="auto" if device == "auto" else asked)
