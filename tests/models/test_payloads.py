"""Checkpoints with code in them, hidden in different places: none of it runs, and all are refused."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import warnings
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from robustcheck import RobustcheckError, load_model
from robustcheck.models.checkpoints.checkpoint import read_checkpoint

STATE = {"weight": torch.zeros(2, 2)}


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


class Rebuilt:
    """Runs on BUILD: an object whose state is set by code."""

    def __init__(self, marker):
        self.marker = marker

    def __setstate__(self, state):
        os.mkdir(state["marker"])  # noqa: PTH102


class Keyed(Payload):
    def __hash__(self):
        return 1


def saved(content, **options):
    out = io.BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


def entries_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def zipped(entries):
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def in_the_zips_pickle(marker):
    evil = pickle.dumps(Payload(marker), protocol=2)
    return zipped(
        [(name, evil if name.endswith("data.pkl") else old) for name, old in entries_of(saved(STATE))]
    )


def a_second_entry_of_the_same_name(marker):
    evil = pickle.dumps({"weight": Payload(marker)}, protocol=2)
    whole = entries_of(saved(STATE))
    pkl = next(name for name, _ in whole if name.endswith("data.pkl"))
    return zipped([*whole, (pkl, evil)])


def a_zip_behind_a_pickle(marker):
    return pickle.dumps(Payload(marker)) + saved(STATE)


def a_pickle_within_a_pickle(marker):
    """torch.storage._load_from_bytes unpickles what it is given without asking."""
    inner = saved(Payload(marker))
    opcodes = (
        b"\x80\x02ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(inner)) + inner + b"\x85R."
    )
    return zipped(
        [(name, opcodes if name.endswith("data.pkl") else old) for name, old in entries_of(saved(STATE))]
    )


def through_getattr(marker):
    opcodes = b"\x80\x02cbuiltins\ngetattr\n(cos\nsystem\nX\x08\0\0\0__call__tR(X"
    command = f"mkdir {marker}".encode()
    return opcodes + struct.pack("<I", len(command)) + command + b"tR."


def an_old_tar(marker):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("pickle", "storages", "tensors", "sys_info"):
            content = pickle.dumps(Payload(marker))
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def a_program_with_a_pickle(marker):
    evil = pickle.dumps(Payload(marker), protocol=2)
    return zipped([("net/code/__torch__.py", b""), ("net/constants.pkl", evil), ("net/data.pkl", evil)])


def a_program_with_an_object_in_its_data(marker):
    whole = [
        (name.replace("archive/", "net/"), content) for name, content in entries_of(saved(Payload(marker)))
    ]
    return zipped([*whole, ("net/archive_format", b"pt2")])


PLACES = {
    "at the top": lambda marker: saved(Payload(marker)),
    "beside the weights": lambda marker: saved({"state_dict": STATE, "hook": Payload(marker)}),
    "deep inside": lambda marker: saved({"a": [{"b": (1, [Payload(marker)])}], **STATE}),
    "as a key": lambda marker: saved({Keyed(marker): 1, **STATE}),
    "in an object's state": lambda marker: saved({"state_dict": STATE, "args": Rebuilt(str(marker))}),
    "in the old format": lambda marker: saved(
        {**STATE, "x": Payload(marker)}, _use_new_zipfile_serialization=False
    ),
    "in a plain pickle": lambda marker: pickle.dumps(Payload(marker)),
    "in the zip's pickle": in_the_zips_pickle,
    "in a second entry of the same name": a_second_entry_of_the_same_name,
    "before a zip": a_zip_behind_a_pickle,
    "in a pickle within a pickle": a_pickle_within_a_pickle,
    "behind getattr": through_getattr,
    "in an old tar": an_old_tar,
    "in a program's constants": a_program_with_a_pickle,
    "in an exported program's data": a_program_with_an_object_in_its_data,
}


MESSAGES = {
    "in an object's state": r"would run tests.models.test_payloads.Rebuilt, .*torch.save\(net.state_dict\(\)",
    "in a second entry of the same name": "holds two entries of one name",
    "in a pickle within a pickle": "would run torch.storage._load_from_bytes",
    "behind getattr": "would run builtins.getattr",
    "in an old tar": "is neither a safetensors file nor a file of torch.save",
    "in a program's constants": "is a TorchScript or exported program, not weights",
    "in an exported program's data": "is a TorchScript or exported program, not weights",
}


@pytest.mark.parametrize("place", PLACES)
def test_code_in_a_checkpoint_never_runs(tmp_path, place):
    marker, path = tmp_path / "it-ran", tmp_path / "weights.pt"
    path.write_bytes(PLACES[place](marker))
    message = MESSAGES.get(
        place, rf"reading it would run {os.mkdir.__module__}.mkdir, .*torch.save\(net.state_dict\(\)"
    )
    with pytest.raises(RobustcheckError, match=rf"weights.pt .*{message}"):
        load_model("resnet18", weights=path, device="cpu")
    assert not marker.exists()


@pytest.mark.parametrize(
    "place", ["at the top", "in a plain pickle", "in the zip's pickle", "behind getattr"]
)
def test_such_a_file_would_run_without_us(tmp_path, place):
    """The payloads are real: what is tested above could fail."""
    marker, path = tmp_path / "it-ran", tmp_path / "weights.pt"
    path.write_bytes(PLACES[place](marker))
    if place in {"in a plain pickle", "behind getattr"}:
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()


def test_torchscript_that_runs_on_loading_is_not_loaded_as_weights(tmp_path):
    class Evil(torch.nn.Module):
        def __init__(self, path: str):
            super().__init__()
            self.path = path

        def forward(self, x):
            return x

        @torch.jit.export
        def __getstate__(self) -> tuple[str, bool]:
            return self.path, self.training

        @torch.jit.export
        def __setstate__(self, state: tuple[str, bool]) -> None:
            self.path, self.training = state
            torch.save(torch.zeros(1), self.path)

    marker, path = tmp_path / "it-ran", tmp_path / "weights.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Evil(str(marker))).save(path)
        with pytest.raises(RobustcheckError, match=r"contains code, and none of it was run"):
            read_checkpoint(path)
        assert not marker.exists()
        torch.jit.load(path)
    assert marker.exists(), "the payload is real"


def test_safetensors_hold_no_code_whatever_they_are_called(tmp_path):
    save_file(STATE, tmp_path / "weights.bin", metadata={"code": "import os"})
    assert list(read_checkpoint(tmp_path / "weights.bin").tensors) == ["weight"]
