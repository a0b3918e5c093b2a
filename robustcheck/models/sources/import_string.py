"""Networks that the user's own code builds: `package.module:callable`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models.checkpoints.checkpoint import read_checkpoint
from robustcheck.models.checkpoints.weights import load_weights
from robustcheck.models.classifier import Classifier
from robustcheck.models.preprocessing import Preprocessing

_NEEDED = ("input_size", "mean", "std")


def load(spec: str, *, weights: Path | None, device: str | torch.device) -> Classifier:
    """Return what `package.module:callable` returns when it is called, as a classifier.

    This runs the user's code. Modules are looked for in the current folder first, then where Python looks.
    """
    module_name, _, attribute = spec.partition(":")
    with _current_folder_importable():
        found = _attribute_of(_imported(module_name, spec), attribute, spec)
        made = found if isinstance(found, (nn.Module, Classifier)) else _called(found, spec)
    origin = ""
    if weights is not None:
        checkpoint = read_checkpoint(weights)
        origin = checkpoint.note
        network = made.module if isinstance(made, Classifier) else made
        if isinstance(network, nn.Module):  # as_classifier raises for anything else
            load_weights(network, checkpoint, name=spec)
    classifier = as_classifier(made, name=spec, device=device)
    classifier.origin = origin or classifier.origin
    return classifier


def as_classifier(made: Any, *, name: str, device: str | torch.device = "auto") -> Classifier:
    """Return the classifier for what a user's function or fixture returned.

    That may be a Classifier, which moves to `device` unless it is "auto", or an nn.Module that carries its
    preprocessing in `pretrained_cfg` or `default_cfg` as timm's networks do. RobustcheckError otherwise, with
    the code to write; `name` says where the object came from.
    """
    if isinstance(made, Classifier):
        return made if device == "auto" else made.to(device)
    if not isinstance(made, nn.Module):
        by_name = f": load it by robustcheck.load_model({made!r})" if isinstance(made, str) else ""
        raise RobustcheckError(
            f"{name} must be an nn.Module or a robustcheck.Classifier, got {type(made).__name__}{by_name}"
        )
    config = _timm_config(made)
    if config is None:
        raise RobustcheckError(
            f"{name} must be a network with its normalisation, got a {type(made).__name__} without: give\n"
            "    robustcheck.Classifier(net, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), input_size=224)\n"
            "with the numbers that it was trained on (mean and std of pixels in 0..1)"
        )
    return Classifier.from_preprocessing(
        made, Preprocessing.from_timm(config, name=name), name=name, device=device
    )


def _timm_config(module: nn.Module) -> dict[str, Any] | None:
    for where in ("pretrained_cfg", "default_cfg"):
        found = getattr(module, where, None)
        config = asdict(found) if is_dataclass(found) and not isinstance(found, type) else found
        if isinstance(config, dict) and all(config.get(key) for key in _NEEDED):
            return config
    return None


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    folder = str(Path.cwd())
    if folder in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _imported(name: str, spec: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise RobustcheckError(f"model {spec!r}: importing {name} failed: {error}") from error
        raise RobustcheckError(
            f"model {spec!r}: no module {error.name!r} in {Path.cwd()} or on Python's path; start pytest in "
            "the folder that holds it, or add that folder to the ini key pythonpath"
        ) from None
    except Exception as error:
        raise RobustcheckError(
            f"model {spec!r}: importing {name} failed: {type(error).__name__}: {error}"
        ) from error


def _attribute_of(module: ModuleType, path: str, spec: str) -> Any:
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            callables = [
                known for known, value in vars(found).items() if callable(value) and not known.startswith("_")
            ]
            raise RobustcheckError(f"model {spec!r}: {unknown('callable', name, callables)}")
        found = getattr(found, name)
    if not callable(found):
        raise RobustcheckError(f"model {spec!r} must name a function, got {type(found).__name__}")
    return found


def _called(function: Any, spec: str) -> Any:
    try:
        return function()
    except RobustcheckError:
        raise
    except Exception as error:
        raise RobustcheckError(
            f"model {spec!r}: calling it without arguments failed: {type(error).__name__}: {error}"
        ) from error
