"""What a repository of the Hugging Face hub asks for, checked before transformers builds it, and its older weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustcheck.errors import RobustcheckError
from robustcheck.limits import check
from robustcheck.models.checkpoints.checkpoint import read_checkpoint
from robustcheck.regular_file import NotRegularFile, open_regular, read_regular

_LAYERS = re.compile(r"(layers?|depths?|blocks?|stages?|repeats?)(_per_stage)?$")
_LABELS = ("num_labels", "num_classes")
_DEEPEST = 20
_PICKLED = "pytorch_model.bin"
_INDEX = f"{_PICKLED}.index.json"
_LONGEST_INDEX = 50_000_000
_PLAIN_NAME = re.compile(r"[\w.-]+\.(bin|pt|pth)", re.ASCII)


def check_files(folder: Path, name: str) -> None:
    """Raise RobustcheckError if a file in a folder is a FIFO, a socket or a device, for which a reader would wait."""
    for path in sorted(folder.iterdir()):
        try:
            if not path.is_dir():
                open_regular(path).close()
        except NotRegularFile as error:
            raise RobustcheckError(f"hf:{name} can't be loaded: {path} {error.strerror}") from None


def check_config(config: dict[str, Any], name: str) -> None:
    """Raise RobustcheckError for a configuration that asks for more layers or classes than the limits."""
    layers, classes = 0, 0
    for key, value in _settings(config):
        if key in {"id2label", "label2id"} and isinstance(value, dict):
            classes = max(classes, len(value))
        for number in value if isinstance(value, list) else [value]:
            if type(number) is int and _LAYERS.search(key):
                layers += max(number, 0)
            elif type(number) is int and key in _LABELS:
                classes = max(classes, number)
    check("layers", layers, f"the configuration of hf:{name} has")
    check("classes", classes, f"the configuration of hf:{name} has")


def _settings(config: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        yield str(key), value
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _settings(value, depth + 1)


def build_network(transformers: Any, config: Any, classes: int | None = None) -> nn.Module:
    """Build the network of a configuration with random weights, with another number of classes if given."""
    if classes is not None:
        config.num_labels = classes
    made: nn.Module = transformers.AutoModelForImageClassification.from_config(
        config, trust_remote_code=False
    )
    return made


def check_size(transformers: Any, config: Any, name: str, stored: int | None) -> None:
    """Raise RobustcheckError for a configuration of more parameters than the limit, or than `stored` bytes can hold."""
    try:
        with torch.device("meta"):
            made = build_network(transformers, config)
        count = sum(parameter.numel() for parameter in made.parameters())
    except Exception:  # noqa: BLE001 - of networks that can't be made without memory; loading has its own errors
        return
    check("parameters", count, f"the network of hf:{name} has")
    if stored is not None and count > stored:
        raise RobustcheckError(
            f"the configuration of hf:{name} asks for {count:,} parameters, and its weights have {stored:,} bytes: they are "
            "of different networks"
        )


def weights_size(folder: Path) -> int | None:
    """Return the bytes of the weights in a folder, or None if there are none."""
    sizes = [
        path.stat().st_size
        for path in folder.iterdir()
        if path.suffix in {".safetensors", ".bin"} and path.is_file()
    ]
    return sum(sizes) if sizes else None


def pickled_weights(folder: Path, name: str) -> dict[str, torch.Tensor] | None:
    """Return the tensors of pytorch_model.bin, or of the files of its index; None where there are safetensors."""
    if any(folder.glob("*.safetensors")):
        return None
    files = [folder / _PICKLED]
    if not files[0].is_file() and (folder / _INDEX).is_file():
        files = _indexed(folder, name)
    return {
        key: value for file in files if file.is_file() for key, value in read_checkpoint(file).tensors.items()
    } or None


def _indexed(folder: Path, name: str) -> list[Path]:
    try:
        names = sorted(set(json.loads(read_regular(folder / _INDEX, _LONGEST_INDEX))["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise RobustcheckError(
            f"hf:{name} can't be loaded: {folder / _INDEX} is no index of weights"
        ) from None
    if not all(_PLAIN_NAME.fullmatch(each) for each in names):
        raise RobustcheckError(
            f"hf:{name} can't be loaded: {folder / _INDEX} must name files of its own folder"
        )
    return [folder / each for each in names]


def load_pickled(
    transformers: Any, config: Any, tensors: dict[str, torch.Tensor]
) -> tuple[nn.Module, dict[str, Any]]:
    """Load tensors that were read here into the network of a configuration; return it and transformers' report."""
    with torch.device("meta"):
        kind: Any = type(build_network(transformers, config))
    module, report = kind.from_pretrained(None, config=config, state_dict=tensors, output_loading_info=True)
    return module, report
