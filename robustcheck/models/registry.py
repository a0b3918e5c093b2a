"""From what a user names a model by to a classifier; the sources are the rows of `robustcheck.specs`."""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Protocol

import torch

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.models.classifier import Classifier
from robustcheck.models.device import resolve_device
from robustcheck.regular_file import is_too_long
from robustcheck.specs import MODEL_SOURCES, SpecSource, prefixes

_FILES = frozenset({".pt", ".pth", ".pt2", ".bin", ".ckpt", ".safetensors", ".onnx", ".tar", ".pkl"})


class Loader(Protocol):
    """What implements a source of models."""

    def __call__(
        self, argument: str, *, weights: Path | None, device: str | torch.device, **trust: bool
    ) -> Classifier:
        """Load what `argument`, the spec without its prefix, names, on `weights` of a file if given.

        `trust_programs` comes only to a source whose row says that it takes it.
        """


def load_model(
    spec: str,
    *,
    weights: str | Path | None = None,
    device: str | torch.device = "auto",
    trust_programs: bool = False,
) -> Classifier:
    """Load the classifier that `spec` names.

    `spec` is a torchvision name (`resnet50`, on its default weights), `timm:NAME`, `hf:REPO` (or a local
    folder), `program:PATH@NAME` (TorchScript or torch.export, on the pixels of NAME),
    `package.module:callable`, `overfeat-fast` or `overfeat-accurate`, `sample`, or `sample:lite1` or
    `sample:lite2`. `weights` is a file to take the weights from instead, as safetensors or as saved by
    torch.save (`PATH#KEY` for one of several in it); then none are downloaded; the preprocessing is still that
    of the named model. `device` is "auto" (CUDA where there is one), "cpu", "cuda", "cuda:N" or a
    torch.device. `trust_programs` lets `program:` load TorchScript, and archives that can't be checked, which run code
    of their authors.

    Raises RobustcheckError for an unknown model, weights that are missing, unsafe or another network's, a hub
    that cannot be reached, and a device that does not exist.
    """
    if not isinstance(spec, str):
        raise RobustcheckError(
            f"a model must be named by a string, got {type(spec).__name__}: for a network of your own use "
            "robustcheck.Classifier(net, mean=..., std=..., input_size=...)"
        )
    if is_too_long(spec):
        raise RobustcheckError(f"model {spec[:60]!r}... is too long for a name; give a name such as resnet50")
    resolve_device(device)
    source, argument = _source_of(spec)
    loader: Loader = resolve_name(source.implementation)
    # A Classifier of the user's own stays where they put it, unless a device was asked for.
    file = None if weights is None else Path(weights).expanduser()
    trust = {"trust_programs": True} if source.takes_trust and trust_programs else {}
    return loader(argument, weights=file, device=device, **trust)


def _source_of(spec: str) -> tuple[SpecSource, str]:
    """Return the source that `spec` names, and its argument."""
    for source in MODEL_SOURCES:
        if spec == f"{source.prefix}:" or (spec == source.prefix and source.needs_argument):
            raise RobustcheckError(
                f"model {spec!r} lacks a name after {source.prefix}:, as in {source.example}"
            )
        if (argument := source.argument(spec)) is not None:
            if source.prefix is None:
                _refuse_paths(spec)
                _refuse_mistyped(spec)
            return source, argument
    raise AssertionError  # the last row takes any spec


def _refuse_paths(spec: str) -> None:
    """Raise RobustcheckError with the way to write it, for a spec that is the path of a file or folder."""
    path = Path(spec).expanduser()
    if path.is_dir() and (path / "config.json").is_file():
        raise RobustcheckError(f"model {spec!r} is a folder of Hugging Face's kind: write hf:{spec}")
    if path.is_dir() and ("/" in spec or spec.startswith(".")):
        raise RobustcheckError(
            f"model {spec!r} is a folder without config.json; name a model, and its weights: "
            "--robustcheck-model=NAME --robustcheck-weights=FILE"
        )
    if path.is_file() or path.suffix in _FILES:
        raise RobustcheckError(
            f"model {spec!r} is a file: if it holds weights, name their network too, --robustcheck-model=NAME "
            f"--robustcheck-weights={spec}; if it is TorchScript or torch.export, program:{spec}@NAME, where NAME is a "
            "model that takes the same pixels, such as resnet50"
        )


def _refuse_mistyped(spec: str) -> None:
    """Raise for half an import string, and for a misspelt prefix that is not a module."""
    prefix, colon, rest = spec.partition(":")
    if not colon:
        return
    if not (prefix and rest):
        raise RobustcheckError(f"model {spec!r} is neither a name nor package.module:callable")
    known = prefixes(MODEL_SOURCES)
    if get_close_matches(prefix.lower(), known, n=1, cutoff=0.6) and not _is_module(prefix):
        raise RobustcheckError(
            f"model {spec!r}: {unknown('prefix', prefix, known)}, or package.module:callable"
        )


def _is_module(name: str) -> bool:
    with suppress(ImportError, ValueError):
        return find_spec(name) is not None or (Path.cwd() / f"{name}.py").is_file()
    return False
