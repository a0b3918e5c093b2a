"""Networks of the Hugging Face hub or of a local folder, with the preprocessing of their processor."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustcheck.errors import RobustcheckError
from robustcheck.models.built_network import BuiltNetwork
from robustcheck.models.checkpoints.checkpoint import read_checkpoint
from robustcheck.models.checkpoints.download_errors import unreachable
from robustcheck.models.checkpoints.weights import build_with
from robustcheck.models.classifier import Classifier
from robustcheck.models.sources.hf_folder import (
    build_network,
    check_config,
    check_files,
    check_size,
    load_pickled,
    pickled_weights,
    weights_size,
)
from robustcheck.models.sources.hf_processor import preprocessing_of
from robustcheck.system import import_library
from robustcheck.text import first_line, listed


def load(name: str, *, weights: Path | None, device: str | torch.device) -> Classifier:
    """Load the image classifier in the hub's repository or the folder `name`, on its weights or those of a file.

    Size, crop, interpolation, mean and std are those of its processor, checked against the processor's own
    output on an image. No code of the repository runs. Raises RobustcheckError if the network is not an image
    classifier, needs code of its own, or has layers that the weights do not cover (an untrained head).
    """
    transformers = import_library(
        "transformers",
        "a model hf:... needs transformers, which is not installed: pip install 'pytest-robustcheck[hf]'",
    )
    folder = Path(name).expanduser()
    source = str(folder) if folder.is_dir() else name
    with _user_errors(name, source), _quiet(transformers):
        if folder.is_dir():
            check_files(folder, name)
        check_config(transformers.PretrainedConfig.get_config_dict(source)[0], name)
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
        processor = transformers.AutoImageProcessor.from_pretrained(source, trust_remote_code=False)
        if weights is None:
            check_size(transformers, config, name, weights_size(folder) if folder.is_dir() else None)
            built = BuiltNetwork(_pretrained(transformers, config, source, name))
        else:
            checkpoint = read_checkpoint(weights)
            stored = sum(tensor.nbytes for tensor in checkpoint.tensors.values())
            check_size(transformers, config, name, stored)
            build = partial(build_network, transformers, config)
            built = build_with(build, checkpoint, name=f"hf:{name}")
    preprocessing, flips_channels = preprocessing_of(processor, config, name=f"hf:{name}")
    names = class_names(built.module.config)
    if flips_channels:
        built = built._replace(module=nn.Sequential(_FlipChannels(), built.module))
    return built.classifier(preprocessing, name=f"hf:{name}", device=device, class_names=names)


def class_names(config: Any) -> Sequence[str] | None:
    """Return the names of the classes in a configuration, or None if they are the library's placeholders."""
    names = [str(config.id2label[index]) for index in sorted(config.id2label)]
    return None if all(name == f"LABEL_{index}" for index, name in enumerate(names)) else names


class _FlipChannels(nn.Module):
    """RGB to BGR, for the networks whose processor does so."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flip(1)


def _pretrained(transformers: Any, config: Any, source: str, name: str) -> nn.Module:
    tensors = pickled_weights(Path(source), name) if Path(source).is_dir() else None
    if tensors is not None:
        module, info = load_pickled(transformers, config, tensors)
    else:
        module, info = transformers.AutoModelForImageClassification.from_pretrained(
            source, trust_remote_code=False, output_loading_info=True, weights_only=True
        )
    untrained = sorted({*info["missing_keys"], *(str(key[0]) for key in info["mismatched_keys"])})
    if untrained:
        raise RobustcheckError(
            f"hf:{name} has no weights for {listed(untrained, 4)}: the library "
            "would initialise them at random, and predictions would mean nothing. Name a repository that was trained as "
            "an image classifier, or pass a file of weights: --robustcheck-weights=PATH"
        )
    return module


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Silence the library's progress bars and messages."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _user_errors(name: str, source: str) -> Iterator[None]:
    try:
        yield
    except RobustcheckError:
        raise
    except Exception as error:
        message = str(error)
        if "trust_remote_code" in message or "custom code" in message:
            raise RobustcheckError(
                f"hf:{name} needs Python code in its repository, and such code is never run. If you trust it, load it in a "
                "function of your own and name that: package.module:callable"
            ) from error
        if Path(source).is_dir():
            raise RobustcheckError(
                f"hf:{name} can't be loaded from that folder ({type(error).__name__}: {first_line(message)}); it must "
                "hold config.json of an image classifier, preprocessor_config.json and model.safetensors, as "
                "save_pretrained of the model and of its processor write them"
            ) from error
        if (reason := unreachable(error)) is not None and "not a valid model identifier" not in message:
            raise RobustcheckError(
                f"hf:{name} could not be fetched from the Hugging Face hub ({reason}). There is no folder of that name "
                f"either. On a machine with access to the hub: hf download {name} --local-dir FOLDER; then here "
                "--robustcheck-model=hf:FOLDER"
            ) from error
        raise RobustcheckError(
            f"hf:{name} can't be loaded by transformers as an image classifier ({type(error).__name__}: "
            f"{first_line(message)}); check the name, or give a local folder: hf:FOLDER"
        ) from error
