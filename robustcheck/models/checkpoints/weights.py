"""The user's own weights: read without running code, and loaded into a network or refused with the reason."""

from __future__ import annotations

import argparse
import pathlib
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from robustcheck.errors import RobustcheckError, RobustnessWarning
from robustcheck.models.checkpoints.state_dicts import SAVE, Tensors, select
from robustcheck.text import listed

Renaming: TypeAlias = Callable[[Tensors, nn.Module], Tensors]

# Of DataParallel, of torch.compile, of a training module around the network (Lightning and others).
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "student.")
_AVERAGING_COUNTER = "n_averaged"  # of torch.optim.swa_utils.AveragedModel
# What training scripts save beside the tensors: data, which only calls its own constructor when it is read.
_NUMPY_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    argparse.Namespace,
    pathlib.PosixPath,
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "?")},
    *((_NUMPY_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
# Entries of TorchScript, and of torch.export.
_CODE = ("constants.pkl", "archive_format", "serialized_exported_program.json")


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file of weights, by name."""

    path: Path
    tensors: Tensors
    note: str = ""
    """Which of the file's tensors they are, if there was a choice."""


@dataclass(frozen=True)
class Differences:
    """The differences between the tensors of a checkpoint and those of a network."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]  # name -> (wanted, got)
    retyped: Mapping[str, str]  # name -> got, where conversion would lose values
    fitting: int

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped or self.retyped)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read the state dict in a safetensors file or a torch checkpoint, on the CPU.

    In a checkpoint that holds more, `state_dicts.select` finds the network's tensors; `PATH#KEY` names them.
    A RobustnessWarning says so if the choice is a guess. None of the file's code is run. RobustcheckError for
    a file that needs its code run, is missing, or is not a checkpoint.
    """
    path, key = _path_and_key(path)
    if not path.is_file():
        raise RobustcheckError(
            f"no weights at {path}: the file does not exist; check the path"
            if not path.exists()
            else f"weights must be a file, got {path}: give the file of weights in that folder"
        )
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise RobustcheckError(f"{path} is empty: no weights to read; download or copy it again")
    loaded = _read_safetensors(path) if start[8:9] == b"{" else _read_torch(path, start)
    choice = select(loaded, key, str(path))
    if choice.is_guess:
        warnings.warn(f"weights: {choice.note}; {path}#KEY chooses another", RobustnessWarning, stacklevel=2)
    return Checkpoint(path, choice.tensors, choice.note)


def build_with(
    build: Callable[[int | None], nn.Module],
    checkpoint: Checkpoint,
    *,
    name: str,
    renamings: tuple[Renaming, ...] = (),
) -> tuple[nn.Module, bool]:
    """Return `build(None)` with the checkpoint's weights, and whether it has the classes that it was built for.

    If only the number of classes differs, it is `build(classes)` with the checkpoint's number. Each of
    `renamings` is tried on weights whose names do not fit as they are. RobustcheckError for other weights.
    """
    module = build(None)
    classes = _other_class_count(_best_fit(module, checkpoint, renamings)[1])
    if classes is not None:
        module = build(classes)
    load_weights(module, checkpoint, name=name, renamings=renamings)
    return module, classes is None


def load_weights(
    module: nn.Module, checkpoint: Checkpoint, *, name: str, renamings: tuple[Renaming, ...] = ()
) -> None:
    """Load the checkpoint's weights into a network, or raise RobustcheckError with what does not fit."""
    tensors, differences = _best_fit(module, checkpoint, renamings)
    if differences:
        raise _other_network(differences, checkpoint, name)
    # strict would require the batch counters, which old checkpoints lack and evaluation does not use
    module.load_state_dict(dict(tensors), strict=False)


def load_in_order(module: nn.Module, checkpoint: Checkpoint, *, name: str) -> None:
    """Load weights of the same network under other names: tensor by tensor, in order, by shape."""
    wanted = module.state_dict()
    shapes = [value.shape for value in wanted.values()]
    if shapes != [value.shape for value in checkpoint.tensors.values()]:
        raise RobustcheckError(f"{checkpoint.path} must hold the tensors of {name}, in order and by shape")
    module.load_state_dict(dict(zip(wanted, checkpoint.tensors.values(), strict=True)))


def _path_and_key(given: str | Path) -> tuple[Path, str | None]:
    if "#" in str(given) and not Path(given).exists():
        path, _, key = str(given).rpartition("#")
        return Path(path), key
    return Path(given), None


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError:
        raise RobustcheckError(f"{path} is a safetensors file: pip install safetensors to read it") from None
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise RobustcheckError(
            f"{path} cannot be read as safetensors: {error}. It is truncated or damaged: download or copy it again"
        ) from error


def _read_torch(path: Path, start: bytes) -> Any:
    if start.startswith(b"PK") and _is_archive_of_code(path):
        raise RobustcheckError(
            f"{path} is a TorchScript or exported program, not weights: it contains code, and none of it was run. To "
            f"evaluate the program itself: --robustcheck-model=program:{path}@resnet50 (with the name of a model with "
            f"the same preprocessing); else save the weights of the network it was made from: {SAVE}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols and old storage classes
            with torch.serialization.safe_globals(_HARMLESS):
                return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        needed = re.search(r"GLOBAL ([\w.]+)", str(error))
        if needed is None:
            raise _no_checkpoint(path, start) from error
        raise RobustcheckError(
            f"{path} holds more than weights: reading it would run {needed[1]}, and code in a checkpoint is never "
            f"run. If you trust the file, load it with torch.load(..., weights_only=False) yourself and save its "
            f"weights alone: {SAVE}, or as safetensors: safetensors.torch.save_file(net.state_dict(), PATH)"
        ) from error
    except Exception as error:  # junk makes the unpickler raise KeyError, EOFError, struct.error and others
        raise _no_checkpoint(path, start) from error


def _is_archive_of_code(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name or name.endswith(_CODE) for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _no_checkpoint(path: Path, start: bytes) -> RobustcheckError:
    if start.startswith(b"version https://"):
        return RobustcheckError(f"{path} is a pointer of Git LFS, not the weights: run git lfs pull")
    whole = "is truncated or damaged" if start.startswith((b"PK", b"\x80")) else f"starts with {start[:8]!r}"
    return RobustcheckError(
        f"{path} is not a checkpoint: it can be read neither as safetensors nor as a file of torch.save (it {whole})"
    )


def _best_fit(
    module: nn.Module, checkpoint: Checkpoint, renamings: tuple[Renaming, ...]
) -> tuple[Tensors, Differences]:
    best: tuple[Tensors, Differences] | None = None
    for tensors in _namings(module, checkpoint.tensors, renamings):
        differences = _differences(module, tensors)
        if not differences:
            return tensors, differences
        if best is None or differences.fitting > best[1].fitting:
            best = tensors, differences
    assert best is not None  # noqa: S101 - the names as they are come first
    return best


def _namings(module: nn.Module, tensors: Tensors, renamings: tuple[Renaming, ...]) -> Iterator[Tensors]:
    yield tensors
    if _AVERAGING_COUNTER in tensors:
        tensors = {key: value for key, value in tensors.items() if key != _AVERAGING_COUNTER}
        yield tensors
    while wrapper := next((w for w in _WRAPPERS if all(key.startswith(w) for key in tensors)), None):
        tensors = {key.removeprefix(wrapper): value for key, value in tensors.items()}
        yield tensors
    for renaming in renamings:
        yield renaming(tensors, module)


def _differences(module: nn.Module, tensors: Tensors) -> Differences:
    wanted = {key: value for key, value in module.state_dict().items() if isinstance(value, torch.Tensor)}
    shared = wanted.keys() & tensors.keys()
    reshaped = {
        key: (tuple(wanted[key].shape), tuple(tensors[key].shape))
        for key in wanted
        if key in shared and wanted[key].shape != tensors[key].shape
    }
    retyped = {
        key: f"quantised {tensors[key].dtype}" if tensors[key].is_quantized else str(tensors[key].dtype)
        for key in wanted
        if key in shared and not _fits(wanted[key], tensors[key])
    }
    return Differences(
        missing=tuple(k for k in wanted if k not in shared and not k.endswith("num_batches_tracked")),
        unexpected=tuple(key for key in tensors if key not in shared),
        reshaped=reshaped,
        retyped=retyped,
        fitting=len(shared) - len(reshaped.keys() | retyped.keys()),
    )


def _fits(wanted: torch.Tensor, got: torch.Tensor) -> bool:
    """Whether copying keeps the value: from floats to floats of any precision, and from integers to integers."""
    if got.is_quantized or got.layout != torch.strided or got.is_complex() != wanted.is_complex():
        return False
    return got.is_floating_point() == wanted.is_floating_point()


def _other_class_count(differences: Differences) -> int | None:
    """Return the checkpoint's number of classes, if that may be all that differs: same names, one other length."""
    if differences.missing or differences.unexpected or differences.retyped:
        return None
    leading = {(wanted[:1], got[:1]) for wanted, got in differences.reshaped.values()}
    classes = [got[0] for _, got in leading if got]
    return classes[0] if len(leading) == len(classes) == 1 else None


def _other_network(differences: Differences, checkpoint: Checkpoint, name: str) -> RobustcheckError:
    shapes = [f"{key} has shape {got}, not {wanted}" for key, (wanted, got) in differences.reshaped.items()]
    types = [f"{key} is {dtype}, not floats: quantised?" for key, dtype in differences.retyped.items()]
    parts = [
        f"missing: {listed(differences.missing, 3)}" if differences.missing else "",
        f"not in {name}: {listed(differences.unexpected, 3)}" if differences.unexpected else "",
        listed(shapes, 3),
        listed(types, 3),
    ]
    return RobustcheckError(
        f"{checkpoint.path} holds the weights of another network than {name}: {differences.fitting} of its "
        f"{len(checkpoint.tensors)} tensors fit. "
        + "; ".join(filter(None, parts))
        + ". Name the network they belong to"
    )
