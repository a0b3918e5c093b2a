"""Files of weights, read without running code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import torch

from robustcheck.errors import RobustcheckError
from robustcheck.limits import check
from robustcheck.models.checkpoints.pickle_data import NeedsCode
from robustcheck.models.checkpoints.state_dicts import SAVE, StateDict, Tensors, select, shown
from robustcheck.models.checkpoints.stored_tensor import BadCheckpoint, Storage, StoredTensor, loaded
from robustcheck.models.checkpoints.torch_file import TorchFile, open_archive, read_torch_file
from robustcheck.regular_file import NotRegularFile, open_regular
from robustcheck.text import first_line
from robustcheck.user_code import warn

# Entries of TorchScript, and of torch.export.
_CODE = ("constants.pkl", "archive_format", "serialized_exported_program.json")


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file of weights, by name, with the versions and the extra state of layers."""

    path: Path
    state: StateDict
    note: str = ""
    """Which of the file's tensors they are, if there was a choice."""
    key: str = ""
    """Where they stand in the file."""

    @property
    def tensors(self) -> Tensors:
        """The tensors by name."""
        return self.state.tensors


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read the state dict in a safetensors file or a torch checkpoint, on the CPU.

    In a checkpoint that holds more, `state_dicts.select` finds the network's state dict, and no other tensors are
    read; `PATH#KEY` names it. A RobustnessWarning says so if the choice is a guess. None of the file's code is run.
    RobustcheckError for a file that needs its code run, is missing, is no regular file, or is not a checkpoint.
    """
    path, key = _path_and_key(path)
    with _opened(path) as file:
        start = file.read(16)
        if not start:
            raise RobustcheckError(f"{path} is empty: no weights to read; download or copy it again")
        found = _read_safetensors(path) if start[8:9] == b"{" else _read_torch(path, file, start)
        choice = select(found.content, key, str(path))
        state = _loaded(choice.state, found, path)
    if choice.is_guess:
        warn(f"weights: {choice.note}; {path}#KEY chooses another")
    return Checkpoint(path, state, choice.note, choice.key)


def _path_and_key(given: str | Path) -> tuple[Path, str | None]:
    if "#" in str(given) and not Path(given).exists():
        path, _, key = str(given).rpartition("#")
        return Path(path), key
    return Path(given), None


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise RobustcheckError(f"no weights at {path}: the file does not exist; check the path") from None
    except NotRegularFile as error:
        advice = "give the file of weights in that folder" if path.is_dir() else "give a file of weights"
        raise RobustcheckError(
            f"weights must be a file, got {path}, which {error.strerror}: {advice}"
        ) from None
    except (OSError, ValueError) as error:
        raise RobustcheckError(f"{path} can't be read: {first_line(error)}") from None


def _read_safetensors(path: Path) -> TorchFile:
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError:
        raise RobustcheckError(f"{path} is a safetensors file: pip install safetensors to read it") from None
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            check("checkpoint-objects", len(names), f"{path} has")
            return TorchFile({name: file.get_tensor(name) for name in names}, _no_storage)
    except RobustcheckError:
        raise
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise RobustcheckError(
            f"{path} cannot be read as safetensors: {first_line(error)}. It is truncated or damaged: download or copy it "
            "again"
        ) from error


def _no_storage(storage: Storage) -> torch.Tensor:
    raise BadCheckpoint(f"has no storage {storage.key}")


def _read_torch(path: Path, file: BinaryIO, start: bytes) -> TorchFile:
    if start.startswith(b"PK") and _is_archive_of_code(file):
        raise RobustcheckError(
            f"{path} is a TorchScript or exported program, not weights: it contains code, and none of it was run. To "
            f"evaluate the program itself: --robustcheck-model=program:{path}@resnet50 (with the name of a model with "
            f"the same preprocessing); else save the weights of the network it was made from: {SAVE}"
        )
    try:
        return read_torch_file(file)
    except NeedsCode as error:
        raise RobustcheckError(
            f"{path} holds more than weights: reading it would run {error.name}, and code in a checkpoint is never "
            f"run. If you trust the file, load it with torch.load(..., weights_only=False) yourself and save its "
            f"weights alone: {SAVE}, or as safetensors: safetensors.torch.save_file(net.state_dict(), PATH)"
        ) from error
    except BadCheckpoint as error:
        raise _no_checkpoint(path, start, error) from error


def _is_archive_of_code(file: BinaryIO) -> bool:
    try:
        names = open_archive(file).namelist()
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return any("/code/" in name or name.endswith(_CODE) for name in names)


def _no_checkpoint(path: Path, start: bytes, error: BadCheckpoint) -> RobustcheckError:
    if start.startswith(b"version https://"):
        return RobustcheckError(f"{path} is a pointer of Git LFS, not the weights: run git lfs pull")
    if start.startswith((b"PK", b"\x80")):
        return RobustcheckError(f"{path} is not a checkpoint: as a file of torch.save it {error}")
    if path.name.endswith(".index.json"):
        return RobustcheckError(
            f"{path} lists the files that weights are split into, and holds none: join them, as in\n"
            "    state = {}\n"
            f"    for part in pathlib.Path({str(path.parent)!r}).glob('*-of-*.safetensors'):\n"
            "        state |= safetensors.torch.load_file(part)\n"
            "    safetensors.torch.save_file(state, 'weights.safetensors')\n"
            f"or, for a classifier of transformers, give --robustcheck-model=hf:{path.parent}"
        )
    return RobustcheckError(
        f"{path} is not a checkpoint: it is neither a safetensors file nor a file of torch.save (it starts with "
        f"{start[:8]!r})"
    )


def _loaded(state: StateDict, found: TorchFile, path: Path) -> StateDict:
    """Return a state dict with its tensors read."""
    name = ""
    try:
        tensors = {}
        for name, tensor in state.tensors.items():
            tensors[name] = tensor.load(found.read) if isinstance(tensor, StoredTensor) else tensor
        name = "extra state"
        return replace(state, tensors=tensors, extra=loaded(dict(state.extra), found.read))
    except BadCheckpoint as error:
        raise RobustcheckError(f"{path} can't be used: it {error} (at {shown(name)!r})") from error
    except RuntimeError as error:  # of torch, for a shape that no tensor can have
        raise RobustcheckError(f"{path} can't be used: {shown(name)!r}: {first_line(error)}") from error
