"""Networks of timm, by name and tag, with their pretrained configuration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models.built_network import BuiltNetwork
from robustcheck.models.checkpoints.checkpoint import Checkpoint, read_checkpoint
from robustcheck.models.checkpoints.download_errors import weights_from
from robustcheck.models.checkpoints.state_dicts import Tensors
from robustcheck.models.checkpoints.weights import Renaming, build_with
from robustcheck.models.classifier import Classifier
from robustcheck.models.imagenet_classes import CLASSES, class_names
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.system import import_library


def load(name: str, *, weights: Path | None, device: str | torch.device) -> Classifier:
    """Load the network `name` (as in `resnet18.a1_in1k`) on timm's weights, or on those of a file.

    Size, resize, crop, interpolation, mean and std are those of its pretrained configuration in either case.
    """
    config = _config(name)
    shown = f"timm:{name}"
    if weights is None:
        built = BuiltNetwork(_pretrained(name, config))
    else:
        built = build_on_checkpoint(name, read_checkpoint(weights), name=shown)
    preprocessing = Preprocessing.from_timm(config, name=shown)
    return built.classifier(preprocessing, name=shown, device=device, class_names=_class_names(config))


def preprocessing_of(name: str) -> Preprocessing:
    """Return the preprocessing of the network `name`, by its pretrained configuration."""
    return Preprocessing.from_timm(_config(name), name=f"timm:{name}")


def build(architecture: str, classes: int | None = None) -> nn.Module:
    """Build the network of timm with random weights; nothing is downloaded."""
    arguments = {} if classes is None else {"num_classes": classes}
    module: nn.Module = import_timm().create_model(architecture, pretrained=False, **arguments)
    return module


def build_on_checkpoint(architecture: str, checkpoint: Checkpoint, *, name: str) -> BuiltNetwork:
    """Build the network of timm on a file's weights."""
    renamings = _timm_renaming(architecture)
    return build_with(partial(build, architecture), checkpoint, name=name, renamings=renamings)


def import_timm() -> Any:
    """Import the library, or raise RobustcheckError with what to install."""
    return import_library(
        "timm",
        "this model needs timm, which is not installed: pip install timm, or pip install 'pytest-robustcheck[sample]'",
    )


def _config(name: str) -> dict[str, Any]:
    timm = import_timm()
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise unknown("timm model", architecture or name, timm.list_models())
    try:
        found = timm.models.get_pretrained_cfg(name)
    except RuntimeError:
        found = None
    if found is None or (tag and found.tag != tag):
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        raise unknown(f"weights of timm's {architecture}", tag, tags)
    config: dict[str, Any] = found.to_dict()
    if not config.get("num_classes"):
        raise RobustcheckError(
            f"timm:{name} must return classes, got features (its configuration has no classifier): name weights with a "
            f"classifier, or build the network in a function of your own: package.module:callable"
        )
    return config


def _pretrained(name: str, config: dict[str, Any]) -> nn.Module:
    repository, url = config.get("hf_hub_id"), config.get("url")
    if not repository and not url:
        raise RobustcheckError(
            f"timm has no weights for {name}; pass a file of weights: --robustcheck-weights=PATH"
        )
    hub = "the Hugging Face hub" if repository else "its server"
    file = f"model.safetensors of https://huggingface.co/{repository}" if repository else str(url)
    with weights_from(hub, name=f"timm:{name}", file=file):
        filename = config.get("hf_hub_filename") or "model.safetensors"
        cached = _cached_if_unreachable(repository, filename) if repository else None
        overlay = {"file": cached} if cached else {}
        module: nn.Module = import_timm().create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    return module


def _cached_if_unreachable(repository: str, filename: str) -> str | None:
    """Ask the hub once; if it can't be reached, return the cached file or raise the error.

    The hub's own client would try six times for each of two files, three quarters of a minute.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    repository, _, revision = repository.partition("@")
    try:
        get_hf_file_metadata(hf_hub_url(repository, filename, revision=revision or None))
    except HfHubHTTPError:
        return None  # it answered
    except Exception:
        cached = try_to_load_from_cache(repository, filename, revision=revision or None)
        if not isinstance(cached, str):
            raise
        return cached
    return None


def _timm_renaming(architecture: str) -> tuple[Renaming, ...]:
    """Return timm's own conversion of published weights to its present names, if there is one."""
    timm = import_timm()
    entry = timm.models.model_entrypoint(architecture.partition(".")[0])
    convert = getattr(sys.modules[entry.__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return ()

    def renamed(tensors: Tensors, module: nn.Module) -> Tensors:
        try:
            converted: Tensors = convert(dict(tensors), module)
        except Exception:  # noqa: BLE001 - it expects this network's weights, and may get any
            return tensors
        return converted

    return (renamed,)


def _class_names(config: dict[str, Any]) -> Sequence[str] | None:
    names, descriptions = config.get("label_names"), config.get("label_descriptions") or {}
    if names:
        return [descriptions.get(name, name) for name in names]
    return class_names() if config["num_classes"] == CLASSES else None
