"""Hostile checkpoints: nothing runs, nothing is written, nothing floods, and one line says what is wrong."""

import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robustcheck import RobustcheckError, load_model
from robustcheck.limits import use_limits
from robustcheck.models.checkpoints.checkpoint import read_checkpoint
from robustcheck.models.checkpoints.weights import build_with, load_weights
from tests.attack import checkpoint_files as files
from tests.attack.child import outcomes

FILES = {(kind, name): content for kind, make in files.KINDS.items() for name, content in make()}
SPECIAL = ("fifo", "link to a fifo", "zeros", "dangling", "folder", "socket", "circle")
CASES = [*FILES, *(("special", name) for name in SPECIAL)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What came of each file, in a child process of little time and memory, and what is in its folder afterwards."""
    folder, work = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("work")
    cases = []
    for index, (case, content) in enumerate(FILES.items()):
        (folder / f"{index}.pt").write_bytes(content)
        cases.append(("/".join(case), "checkpoint", str(folder / f"{index}.pt")))
    for name, path in files.special_files(folder):
        cases.append((f"special/{name}", "checkpoint", str(path)))
    before = sorted(folder.iterdir())
    found = outcomes(cases, work)
    assert sorted(folder.iterdir()) == before
    return found, list(work.iterdir())


@pytest.mark.parametrize("case", CASES, ids="/".join)
def test_a_hostile_file_ends_in_one_line(results, case):
    kind, message = results[0]["/".join(case)]
    assert kind == "RobustcheckError", message
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 700


def test_nothing_ran_and_nothing_was_written(results):
    assert results[1] == []


def test_the_payloads_are_real(tmp_path, monkeypatch):
    """What is tested above could fail."""
    monkeypatch.chdir(tmp_path)
    for name in ("in a plain pickle", "in a pickle of protocol 5"):
        pickle.loads(FILES["code", name])
        Path(files.CANARY).unlink()
    Path("file.pt").write_bytes(FILES["code", "beside weights"])
    torch.load("file.pt", weights_only=False)
    assert Path(files.CANARY).exists()


def test_the_published_explosion_is_read_at_once(tmp_path):
    """Eleven kilobytes of dictionaries that hold each other took a minute."""
    value = {"z": 1}
    for _ in range(60):
        value = dict.fromkeys("abcd", value)
    torch.save(value, tmp_path / "file.pt")
    with pytest.raises(RobustcheckError, match="holds no state dict: its keys are a, b, c, d"):
        read_checkpoint(tmp_path / "file.pt")


@pytest.mark.parametrize(
    "name", ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint64", "bool"]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_numpy_scalars_beside_weights_are_read_as_numbers(tmp_path, name, order):
    value = np.array([1], np.dtype(name).newbyteorder(order))[0]
    torch.save({"best": value, "state_dict": {"weight": torch.ones(2)}}, tmp_path / "file.pt")
    assert read_checkpoint(tmp_path / "file.pt").tensors["weight"].equal(torch.ones(2))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("archive", [True, False])
def test_all_kinds_of_tensor_are_read_as_torch_reads_them(tmp_path, protocol, archive):
    base = torch.arange(24.0)
    state = {
        "plain": base,
        "view": base[4:16].view(3, 4).T,
        "repeated": base[:2].expand(3, 2),
        "empty": torch.zeros(0, 5),
        "scalar": torch.tensor(3),
        "parameter": nn.Parameter(torch.ones(2, 2)),
        "buffer": nn.Buffer(torch.ones(3)),
        **{
            str(t): torch.ones(3).to(t)
            for t in (torch.half, torch.bfloat16, torch.double, torch.long, torch.bool)
        },
        **{
            str(t): torch.ones(3).to(t)
            for t in (torch.uint8, torch.int8, torch.short, torch.int, torch.cfloat)
        },
        **{str(t): torch.ones(3).to(t) for t in (torch.uint16, torch.float8_e4m3fn)},
    }
    torch.save(state, tmp_path / "file.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=archive)
    read = read_checkpoint(tmp_path / "file.pt").tensors
    assert list(read) == list(state)
    for name, tensor in state.items():
        assert (read[name].dtype, read[name].stride()) == (tensor.dtype, tensor.stride())
        assert (
            read[name].double().equal(tensor.detach().double())
            if not tensor.is_complex()
            else read[name].equal(tensor)
        )


def test_a_limit_is_named_and_can_be_raised(tmp_path):
    torch.save({"weight": torch.ones(2).expand(100, 2)}, tmp_path / "file.pt")
    with use_limits({"repeated-bytes": 100}):
        with pytest.raises(
            RobustcheckError, match=r"repeats .* --robustcheck-input-limits=repeated-bytes:800"
        ):
            read_checkpoint(tmp_path / "file.pt")
        with use_limits({"repeated-bytes": 800}):
            assert read_checkpoint(tmp_path / "file.pt").tensors["weight"].shape == (100, 2)


def test_a_file_does_not_give_a_network_any_number_of_classes(tmp_path):
    torch.save(nn.Linear(1, 2000).state_dict(), tmp_path / "file.pt")
    checkpoint = read_checkpoint(tmp_path / "file.pt")
    with (
        use_limits({"classes": 1000}),
        pytest.raises(RobustcheckError, match=r"2,000 classes, .*=classes:2000"),
    ):
        build_with(lambda classes: nn.Linear(1, classes or 10), checkpoint, name="net")


def test_an_archive_without_checksums_is_read_and_a_damaged_one_is_not(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"weight": torch.ones(100)}, tmp_path / "file.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_checkpoint(tmp_path / "file.pt").tensors["weight"].equal(torch.ones(100))
    torch.save({"weight": torch.ones(100)}, tmp_path / "file.pt")
    content = (tmp_path / "file.pt").read_bytes()
    one = torch.ones(100).numpy().tobytes()
    (tmp_path / "file.pt").write_bytes(content.replace(one, b"\1" + one[1:]))
    with pytest.raises(RobustcheckError, match="checksum"):
        read_checkpoint(tmp_path / "file.pt")


def test_what_is_not_used_is_not_read(tmp_path):
    """An optimiser's damaged state is none of the network's."""
    torch.save(
        {"state_dict": {"weight": torch.ones(4)}, "optimizer": {"exp_avg": torch.full((100,), 7.0)}},
        tmp_path / "file.pt",
    )
    content = (tmp_path / "file.pt").read_bytes()
    moments = torch.full((100,), 7.0).numpy().tobytes()
    assert moments in content
    (tmp_path / "file.pt").write_bytes(content.replace(moments, b"\1" + moments[1:]))
    assert list(read_checkpoint(tmp_path / "file.pt").tensors) == ["weight"]


def test_a_fifo_is_refused_as_overfeats_weights_too(tmp_path):
    *_, fifo = (path for name, path in files.special_files(tmp_path) if name == "fifo")
    with pytest.raises(RobustcheckError, match="not a file"):
        load_model("overfeat-fast", weights=fifo, device="cpu")
    shutil.rmtree(tmp_path)


def test_no_warning_comes_of_reading(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "file.pt", pickle_protocol=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_checkpoint(tmp_path / "file.pt")


@pytest.mark.parametrize(
    "name", ["\x1b[31mred", "a\n::error::b", "\u202eevil", "x" * 100_000, "::set-output name=x::y"]
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda name: {name: torch.zeros(2)},
        lambda name: {name: {"weight": torch.zeros(2)}, "other": {"weight": torch.zeros(2)}},
        lambda name: {name: 3},
        lambda name: {
            f"{name}.weight": torch.zeros(2, 2),
            "b.weight": torch.zeros(2, 2),
            "c": torch.zeros(1),
        },
    ],
    ids=["tensor", "state dict", "number", "part"],
)
def test_keys_of_a_file_reach_an_error_as_one_printable_line(tmp_path, name, wrap):
    torch.save(wrap(name), tmp_path / "file.pt")
    with pytest.raises(RobustcheckError) as caught:
        load_weights(nn.Linear(2, 2, bias=False), read_checkpoint(tmp_path / "file.pt"), name="net")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    assert not str(caught.value).startswith("::")
