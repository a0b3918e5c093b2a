"""Programs: TorchScript and torch.export archives, which hold a network with its code.

A torch.export archive is data once every entry and operator in it is checked; torch loads a clean copy. TorchScript is code,
and so is what can't be checked: both are loaded only where a person said so.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from robustcheck.errors import RobustcheckError
from robustcheck.models.built_network import BuiltNetwork
from robustcheck.models.checkpoints.stored_tensor import BadCheckpoint
from robustcheck.models.checkpoints.torch_file import archive_errors, open_archive
from robustcheck.models.classifier import Classifier
from robustcheck.models.logits import described, logits_in
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.models.programs.archive import clean_archive
from robustcheck.models.programs.graph import NotData
from robustcheck.models.sources import sample, timm, torchvision
from robustcheck.regular_file import NotRegularFile, open_regular
from robustcheck.text import first_line

_COMPILED = "/data/aotinductor/"
_TRUST = "--robustcheck-trust-programs, or load_program(path, trust=True)"


def load(
    argument: str, *, weights: Path | None, device: str | torch.device, trust_programs: bool = False
) -> Classifier:
    """Load the program in `PATH@NAME`, with the preprocessing of the model NAME.

    NAME is torchvision's, `timm:NAME` or `sample`; only its size, crop and normalisation are used.
    """
    text, _, like = argument.rpartition("@")
    if not (text and like):
        path = argument.strip("@") or "PATH"
        raise RobustcheckError(
            f"model 'program:{argument}' lacks a preprocessing: add the name of a model with the "
            f"same size and normalisation, as in program:{path}@resnet50, or wrap it: "
            f"robustcheck.Classifier(robustcheck.load_program({path!r}), mean=..., std=..., input_size=...)"
        )
    if weights is not None:
        raise RobustcheckError(
            f"model 'program:{argument}' contains its weights: remove --robustcheck-weights"
        )
    preprocessing = _preprocessing_of(like)
    built = BuiltNetwork(load_program(text, trust=trust_programs), origin=f"pixels as {like}")
    classifier = built.classifier(preprocessing, name=f"program:{Path(text).name}", device=device)
    _check_gradient(classifier)
    return classifier


def load_program(path: str | Path, *, trust: bool = False) -> nn.Module:
    """Load the network in a TorchScript or torch.export archive, as a module that takes batches of any size.

    A torch.export archive is checked entry by entry, and may use tensors and operators without side effects. With
    `trust` it is loaded as it is, and TorchScript is loaded, too: both run code of the file. RobustcheckError for
    another file, for one that would run code without `trust`, for compiled code, and for one that this version of
    torch can't read.
    """
    path = Path(path).expanduser()
    with _opened(path) as file:
        kind = _kind(file, path)
        if kind == "script" and not trust:
            raise RobustcheckError(
                f"{path} is TorchScript, which runs code of its author when it is loaded. Export the network with "
                f"torch.export.save instead; or if you trust the file: {_TRUST}"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # TorchScript is deprecated; its users know
                return _loaded(file, kind, trust=trust)
        except NotData as error:
            raise RobustcheckError(
                f"{path} can't be checked, so it may run code of its author: it holds {error}. Export the network again "
                f"with torch.export.save; or if you trust the file: {_TRUST}"
            ) from error
        except BadCheckpoint as error:
            raise RobustcheckError(f"{path} can't be loaded: it {error}") from error
        except Exception as error:
            raise RobustcheckError(
                f"{path} can't be loaded by torch {torch.__version__}: {type(error).__name__}: {first_line(error)}; export "
                "it again with this version, or give weights for a model by name"
            ) from error


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise RobustcheckError(f"no program at {path}: no such file") from None
    except NotRegularFile as error:
        raise RobustcheckError(f"no program at {path}: it {error.strerror}") from None
    except (OSError, ValueError) as error:
        raise RobustcheckError(f"no program at {path}: {first_line(error)}") from None


def _loaded(file: BinaryIO, kind: str, *, trust: bool) -> Program:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type] # of a buffered file
    file.seek(0)
    if kind == "script":
        script: Any = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
        return Program(script, digest)
    with _quiet_torch() as failures:
        try:
            exported = torch.export.load(BytesIO(file.read()) if trust else clean_archive(file))
        except RuntimeError as error:  # "check the warnings above", where it logged the cause
            raise (failures[-1] if failures else error) from error
    return Program(exported.module(), digest, batch=_fixed_batch(exported))


@contextmanager
def _quiet_torch() -> Iterator[list[BaseException]]:
    """Keep torch's log of a failed load, which quotes the file, from the terminal; give the errors in it."""
    failures: list[BaseException] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            failures.append(record.exc_info[1])
        return False

    log = logging.getLogger("torch.export")
    log.addFilter(keep)
    try:
        yield failures
    finally:
        log.removeFilter(keep)


class Program(nn.Module):
    """A program as an ordinary module: in the mode it was exported in, for batches of any size."""

    def __init__(self, program: Any, digest: bytes, batch: int | None = None) -> None:
        super().__init__()
        self.program: Any = program
        self.batch: int | None = batch
        # A buffer, so that the fingerprint covers it: two programs may differ only in their code.
        self.register_buffer("archive", torch.frombuffer(bytearray(digest), dtype=torch.uint8))

    def train(self, mode: bool = True) -> Program:
        """Set the mode of TorchScript; an exported program stays in the mode it was exported in."""
        if isinstance(self.program, torch.jit.ScriptModule):
            return super().train(mode)
        self.training = mode
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits of images."""
        images = images.contiguous()
        parts = (images,) if self.batch is None else torch.split(images, self.batch)
        return torch.cat([self._logits(part) for part in parts])

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        count = len(images)
        if self.batch is not None and count < self.batch:
            images = torch.cat([images, images[-1:].expand(self.batch - count, -1, -1, -1)])
        output = self.program(images)
        logits = logits_in(output, len(images))
        if logits is None or logits.ndim != 2:
            raise RobustcheckError(
                f"the program must return logits of shape (N, classes), got {described(output)}: export the network so "
                "that it returns the logits alone"
            )
        return logits[:count]


def _kind(file: BinaryIO, path: Path) -> str:
    """Return whether an open file is "script" or "export"; RobustcheckError for neither."""
    try:
        with archive_errors():
            names = open_archive(file).namelist()
    except BadCheckpoint as error:
        raise RobustcheckError(
            f"{path} is not a program: it {error}. Give a file of torch.export.save or torch.jit.save"
        ) from None
    if any(_COMPILED in f"/{name}" for name in names):
        raise RobustcheckError(
            f"{path} holds compiled code (torch.export's AOTInductor), which has no gradient and is never run: "
            "save the exported program itself: torch.export.save(program, 'net.pt2')"
        )
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        return "script"
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return "export"
    raise RobustcheckError(
        f"{path} holds weights, not a program: use --robustcheck-model=NAME --robustcheck-weights={path}"
    )


def _fixed_batch(exported: Any) -> int | None:
    """Return the batch size that a program was exported for, or None if it takes any."""
    inputs = set(exported.graph_signature.user_inputs)
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name in inputs:
            size = node.meta["val"].shape[0]
            return size if isinstance(size, int) else None
    return None


def _preprocessing_of(like: str) -> Preprocessing:
    prefix, _, name = like.partition(":")
    if prefix == "sample":
        return sample.preprocessing_of(name)
    return timm.preprocessing_of(name) if prefix == "timm" else torchvision.preprocessing_of(like)


def _check_gradient(classifier: Classifier) -> None:
    """Raise RobustcheckError if a program fails on its pixels, or returns no gradient to them."""
    height, width = classifier.input_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, height, width), generator=generator).float().requires_grad_()
    try:
        logits = classifier.logits(pixels)
        gradient = torch.autograd.grad(logits.logsumexp(1).sum(), pixels)[0] if logits.requires_grad else None
    except Exception as error:
        failure = error.__cause__ if isinstance(error, RobustcheckError) else error
        if failure is None:  # not the program's own: it returned no logits
            raise
        raise RobustcheckError(
            f"{classifier.name} fails on images of {height}x{width} ({classifier.origin}): {type(failure).__name__}: {first_line(failure)}; name a "
            "model after @ that has its preprocessing, and export it for float32 images (N, 3, H, W)"
        ) from error
    if gradient is None or not bool(gradient.any()):
        raise RobustcheckError(
            f"no gradient reaches the pixels through {classifier.name}: it was frozen for inference, quantised, or cuts "
            "the graph (no_grad, detach, rounding); export the float network for training, or give its weights to a "
            "model by name"
        )
