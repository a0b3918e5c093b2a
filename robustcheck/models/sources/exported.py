"""Programs: TorchScript and torch.export archives, which hold a network with its code.

A program runs in torch's own interpreters. No Python is loaded from the file: pickled objects in an exported
archive are refused before torch would load them.
"""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustcheck.errors import RobustcheckError
from robustcheck.models.classifier import Classifier
from robustcheck.models.logits import logits_in
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.models.sources import sample, timm, torchvision
from robustcheck.text import first_line

_COMPILED = "/data/aotinductor/"


def load(argument: str, *, weights: Path | None, device: str | torch.device) -> Classifier:
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
    classifier = Classifier.from_preprocessing(
        load_program(text),
        preprocessing,
        name=f"program:{Path(text).name}",
        device=device,
        origin=f"pixels as {like}",
    )
    _check_gradient(classifier)
    return classifier


def load_program(path: str | Path) -> nn.Module:
    """Load the network in a TorchScript or torch.export archive, as a module that takes batches of any size.

    This runs the archive's code in torch's interpreter; torch.jit.load runs a part of it on loading.
    RobustcheckError for another file, for one with pickled Python objects or compiled code, and for one that
    this version of torch can't read.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise RobustcheckError(f"no program at {path}: {'not a file' if path.exists() else 'no such file'}")
    kind = _kind(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated; its users know
            if kind == "script":
                script: Any = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
                return Program(script, _digest(path))
            exported = torch.export.load(path)
            return Program(exported.module(), _digest(path), batch=_fixed_batch(exported))
    except RobustcheckError:
        raise
    except Exception as error:
        raise RobustcheckError(
            f"{path} can't be loaded by torch {torch.__version__}: {type(error).__name__}: {first_line(error)}; export it again with this "
            "version, or give weights for a model by name"
        ) from error


class Program(nn.Module):
    """A program as an ordinary module: in the mode it was exported in, for batches of any size."""

    def __init__(self, program: Any, digest: bytes, batch: int | None = None) -> None:
        super().__init__()
        self.program, self.batch = program, batch
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
                f"the program must return logits of shape (N, classes), got {type(output).__name__}"
            )
        return logits[:count]


def _kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            kind = _kind_of_archive(archive, path)
    except RobustcheckError:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, AttributeError) as error:
        raise RobustcheckError(
            f"{path} is not a program, or is truncated ({error}): give a file of torch.export.save or torch.jit.save"
        ) from None
    return kind


def _kind_of_archive(archive: zipfile.ZipFile, path: Path) -> str:
    names = archive.namelist()
    if len(set(names)) != len(names):
        raise RobustcheckError(
            f"{path} holds two entries of one name, so it was tampered with: export it again"
        )
    if any("/code/" in name or name.endswith("constants.pkl") for name in names):
        return "script"
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        _refuse_objects(archive, path)
        return "export"
    raise RobustcheckError(
        f"{path} holds weights, not a program: use --robustcheck-model=NAME --robustcheck-weights={path}"
    )


def _refuse_objects(archive: zipfile.ZipFile, path: Path) -> None:
    """RobustcheckError for an exported archive from which torch would load Python objects or native code."""
    for name in archive.namelist():
        if _COMPILED in f"/{name}":
            raise RobustcheckError(
                f"{path} holds compiled code (torch.export's AOTInductor), which has no gradient and is never run: "
                "save the exported program itself: torch.export.save(program, 'net.pt2')"
            )
        leaf = name.rpartition("/")[2]
        pickled = leaf.startswith(("opaque_obj", "custom_obj")) or leaf in _pickled_leaves(archive, name)
        if (pickled or leaf.endswith((".pt", ".pkl"))) and (content := archive.read(name)):
            _refuse_unless_tensors(content, leaf, path)


def _pickled_leaves(archive: zipfile.ZipFile, name: str) -> set[str]:
    """Return the entries beside `name` that the archive's own tables declare as pickled."""
    folder = name.rpartition("/")[0]
    leaves: set[str] = set()
    for table in archive.namelist():
        if table.rpartition("/")[0] == folder and table.endswith("_config.json"):
            config = json.loads(archive.read(table)).get("config", {})
            leaves |= {entry["path_name"] for entry in config.values() if entry.get("use_pickle")}
    return leaves


def _refuse_unless_tensors(content: bytes, leaf: str, path: Path) -> None:
    try:
        torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - whatever torch says of it, it is not loaded
        raise RobustcheckError(
            f"{path} holds Python objects ({leaf}), and code in a file is never run: {type(error).__name__}: {first_line(error)}. Export the "
            "network again without custom objects"
        ) from None


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
    except RobustcheckError:
        raise
    except Exception as error:
        raise RobustcheckError(
            f"{classifier.name} fails on images of {height}x{width} ({classifier.origin}): {type(error).__name__}: {first_line(error)}; name a "
            "model after @ that has its preprocessing, and export it for float32 images (N, 3, H, W)"
        ) from error
    if gradient is None or not bool(gradient.any()):
        raise RobustcheckError(
            f"no gradient reaches the pixels through {classifier.name}: it was frozen for inference, quantised, or cuts "
            "the graph (no_grad, detach, rounding); export the float network for training, or give its weights to a "
            "model by name"
        )


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()
