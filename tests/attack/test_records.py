"""Files of records, claims and stores that anyone may have written: an error of ours, or what they say; nothing else."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from robustcheck import RobustcheckError, evaluate, load_model
from robustcheck.__main__ import main
from robustcheck.atomic_io import atomic_write, remove_abandoned
from robustcheck.claims import read_claims
from robustcheck.evaluation import Evaluation
from robustcheck.images import open_images
from robustcheck.models.device import is_out_of_memory
from robustcheck.records.baseline import FOLDER, Baseline, save_baseline
from robustcheck.records.csv import dumps
from robustcheck.records.tables import read, write
from robustcheck.report.run import Check, Finding, ReportedClaim, TestError
from robustcheck.store.maintenance import stored_configs
from robustcheck.store.store import RecordStore, open_store, read_block
from tests import toys
from tests.attack.hostile import faults

DEEP = 100_000
CLAIM = {"state": "holds", "text": "accuracy(x) >= 0.5", "numbers": "measured 1"}


@pytest.fixture(scope="module")
def records(toy_classifier, toy_images):
    return evaluate(toy_classifier, toy_images, ["Adv_1"])


def text_of(records, **header):
    """Records as text, with other entries in their header."""
    rows = list(csv.reader(io.StringIO(dumps(records), newline="")))
    rows[1][-1] = json.dumps(json.loads(rows[1][-1]) | header)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def with_cell(records, column, cell):
    """Records as text, with another cell in the first row."""
    rows = list(csv.reader(io.StringIO(dumps(records), newline="")))
    rows[1][rows[0].index(column)] = cell
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


HEADERS = {
    "provenance null": {"provenance": {"model": None}},
    "provenance a list": {"provenance": []},
    "classes 0": {"classes": 0},
    "classes text": {"classes": "4"},
    "classes huge": {"classes": 10**30},
    "classes true": {"classes": True},
    "views text": {"views": "x"},
    "views numbers": {"views": ["x", 1]},
    "failed number": {"integrity tests failed": 7},
    "run a list": {"run": []},
    "run null": {"run": None},
    "claims a number": {"run": {"claims": 1}},
    "claims of numbers": {"run": {"claims": [1]}},
    "session a list": {"run": {"session": ["a"]}},
    "session number": {"run": {"session": {"a": 1}}},
    **{
        f"claim {name} {value!r:.20}": {"run": {"claims": [CLAIM | {name: value}]}}
        for name, value in (
            ("seen", "5"),
            ("seen", None),
            ("state", "<b>"),
            ("state", []),
            ("notes", "text"),
            ("notes", [1]),
            ("estimate", "1"),
            ("estimate", 10**400),
            ("attack", "| <img src=x>"),
            ("views", {}),
            ("text", 5),
            ("line", 1.5),
            ("exact", "yes"),
            ("unknown", 1),
            ("PROPERTY", "x"),
        )
    },
    "check state": {"run": {"checks": [{"name": "a", "state": "odd", "text": "b"}]}},
    "finding": {"run": {"findings": [{"text": "a", "holds": "no", "numbers": "b"}]}},
    "trouble": {"run": {"troubles": [{"test": 1, "text": "b"}]}},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_mistyped_header_is_refused(tmp_path, capsys, records, header):
    path = tmp_path / "a.csv"
    path.write_text(text_of(records, **header))
    assert main(["report", str(path), "--out", str(tmp_path / "a.md")]) == 2
    assert main(["compare", str(path), str(path)]) == 2
    told = capsys.readouterr().err
    assert "a.csv" in told
    assert not faults(told)
    assert not (tmp_path / "a.md").exists()


CONTENTS = {
    "an earlier version": "# robustcheck records 1\n",
    "nothing": "",
    "a zero byte": "image,id\0\n",
    "a long first line": "a" * 10**6,
    "many lines": "a,b\n" * 1000,
    "secrets": "root:x:0:0:" + "a" * 80 + "secret\n",
}
RUNS = {
    "deep lists": "[" * DEEP,
    "deep objects": '{"views":' * DEEP,
    "a number of 5,000 digits": "9" * 5000,
    "a list": "[]",
    "null": "null",
    "no JSON": "{",
}


@pytest.mark.parametrize("cell", RUNS.values(), ids=RUNS)
def test_header_that_is_none(tmp_path, capsys, records, cell):
    path = tmp_path / "a.csv"
    path.write_text(with_cell(records, "run", cell))
    assert main(["compare", str(path), str(path)]) == 2
    assert "a.csv" in capsys.readouterr().err


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_what_is_no_file_of_records(tmp_path, capsys, content):
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert main(["compare", str(path), str(path)]) == 2
    told = capsys.readouterr().err
    assert "a.csv" in told
    assert "secret" not in told


@pytest.mark.parametrize("cell", ["9" * 5000, "9" * 25, "-2", "nan", "1e300", "\U0001d7d9", ""])
@pytest.mark.parametrize("column", ["image", "label", "drawn", "prediction"])
def test_integers_out_of_range(tmp_path, records, column, cell):
    (tmp_path / "a.csv").write_text(with_cell(records, column, cell))
    with pytest.raises(RobustcheckError, match=r"a\.csv"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "name", ["provenance null", "provenance a list", "classes 0", "views text", "failed number"]
)
def test_mistyped_header_of_a_parquet_file(tmp_path, records, name):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    write(records, path, HEADERS[name])
    with pytest.raises(RobustcheckError, match=r"a\.parquet"):
        read(path)


def test_what_we_write_ourselves_is_read():
    claim = ReportedClaim(
        "refuted", "a", "b", notes=("c",), estimate=float("nan"), low=0, percent=True, attack="blind"
    )
    for value in (claim, Finding("a", True, "b"), Check("a", "passed", "b"), TestError("a", "b")):
        assert repr(type(value).from_json(value.to_json())) == repr(value)


# ----------------------------------------------------------------------------------------------- TOML

TOML = {
    "deep arrays": "a = " + "[" * DEEP,
    "arrays as deep as Python": "a = " + "[" * 400 + "]" * 400,
    "deep tables": "a = " + "{b = " * DEEP,
    "deep key": "[" + ".".join("a" * 5000) + "]\n",
    "number of 5,000 digits": f"alpha = {'9' * 5000}\n[claims]\na = 'accuracy(x) >= 0.5'",
    "number of 4,000 digits": f"alpha = {'9' * 4000}\n[claims]\na = 'accuracy(x) >= 0.5'",
    "large float": "alpha = 1e999\n[claims]\na = 'accuracy(x) >= 0.5'",
    "claim a date": "[claims]\na = 1979-05-27",
    "unprintable name": '[claims]\n"a\\u001b" = "accuracy(x) >= 0.5"',
    "name a command": '[claims]\n"##[error]a" = "accuracy(x) >= 0.5"',
}


@pytest.mark.parametrize("text", TOML.values(), ids=TOML)
def test_claim_files(tmp_path, text):
    path = tmp_path / "robustcheck.toml"
    path.write_text(text)
    with pytest.raises(RobustcheckError, match=r"robustcheck\.toml") as caught:
        read_claims(path)
    assert not faults(str(caught.value))


def test_large_claim_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "robustcheck.toml"
    with path.open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(RobustcheckError, match=r"--robustcheck-input-limits=toml-bytes"):
        read_claims(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no FIFOs")
@pytest.mark.parametrize("name", ["robustcheck.toml", "a.csv", "a.parquet"])
def test_fifo_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(RobustcheckError, match="FIFO"):
        (read_claims if name.endswith("toml") else read)(tmp_path / name)


# ---------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    "path", ["a" * 5000, "/".join(["b" * 200] * 30), "/" + "c" * 300, "a\0b", "~nobody/x"]
)
def test_paths_that_are_none(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    size = toys.classifier_of(toys.Linear()).preprocessing
    for act in (
        lambda: load_model(path),
        lambda: load_model(f"program:{path}@resnet50"),
        lambda: load_model("resnet18", weights=path),
        lambda: open_images(path, size=size),
        lambda: open_images(f"{path}.csv", size=size),
        lambda: open_images(f"imagenet:{path}", size=size),
        lambda: Baseline.read(path, tmp_path),
        lambda: read(Path(f"{path}.csv")),
        lambda: read_claims(path),
    ):
        with pytest.raises(RobustcheckError):
            act()


# ---------------------------------------------------------------------------------------------- stores


@pytest.fixture
def store(tmp_path, toy_classifier, toy_images):
    pytest.importorskip("pyarrow")
    evaluate(toy_classifier, toy_images, ["Adv_1"], store=tmp_path / "store")
    return tmp_path / "store"


@pytest.mark.parametrize("refused", ["stat", "open", "scandir", "mkdir"])
def test_store_of_another_user_is_done_without(store, toy_classifier, toy_images, monkeypatch, refused):
    """As os has it where folders inside are another's and closed to all."""
    real = getattr(os, refused)

    def refuse(path, *rest, **named):
        if str(store) in str(path) and str(path) != str(store):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **named)

    monkeypatch.setattr(os, refused, refuse)
    told = []
    evaluation = Evaluation(toy_classifier, toy_images, store=RecordStore(store, warn=told.append))
    evaluation.run(["Adv_1", "Adv_2"])
    assert evaluation.completed == len(toy_images)
    stored_configs(store)


@pytest.mark.parametrize("facts", ["[1]", "7", "[" * DEEP, "null", "9" * 5000, "\udc80"])
def test_facts_of_a_store_that_are_none(store, facts):
    for path in store.glob("*/study.json"):
        path.write_bytes(facts.encode("utf-8", "surrogateescape"))
    assert main(["store", "list", str(store)]) == 0
    assert stored_configs(store)[0].facts == {}


@pytest.mark.parametrize("folder", ["a\0b", "x" * 300, "/".join(["b" * 200] * 30)])
def test_folder_that_can_be_no_store(tmp_path, folder):
    pytest.importorskip("pyarrow")
    with pytest.raises(RobustcheckError, match="record store"):
        open_store(tmp_path / folder)


# ------------------------------------------------------------------------------------ killed, interrupted


def test_temporary_file_of_a_killed_process_is_removed(tmp_path, records):
    """A process that is killed while it writes a baseline leaves a file; saving again removes it, and only it."""
    code = (
        "import os, signal, sys; from pathlib import Path; from robustcheck.atomic_io import atomic_write\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic_write(Path(sys.argv[1]), 'half')\n"
    )
    folder = tmp_path / FOLDER
    subprocess.run([sys.executable, "-c", code, str(folder / "v1.csv")], check=False)
    left = [*folder.iterdir()]
    assert [path.suffix for path in left] == [".part"]
    being_written = folder / left[0].name.replace(left[0].name.split("-")[-2], str(os.getppid()))
    being_written.touch()
    save_baseline("v1", tmp_path, records, {})
    assert sorted(path.name for path in folder.iterdir()) == sorted([being_written.name, "v1.csv"])


def test_temporary_file_of_another_machine_is_removed_after_an_hour(tmp_path):
    atomic_write(tmp_path / "a", "whole")
    parts = [tmp_path / f".a.00000000-1-{'0' * 11}{at}.part" for at in range(2)]
    for part in parts:
        part.touch()
    os.utime(parts[0], (time.time() - 7200,) * 2)
    remove_abandoned(tmp_path)
    assert [part.exists() for part in parts] == [False, True]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_saved_counts_what_the_store_has(tmp_path, toy_classifier, toy_images, monkeypatch, at):
    """A second Ctrl-C while records are saved: what is said to be kept is kept."""
    pytest.importorskip("pyarrow")
    commits = []

    class Interrupted(RecordStore):
        def commit(self, block, facts):
            commits.append(block)
            if len(commits) >= at:
                raise KeyboardInterrupt
            return super().commit(block, facts)

    from robustcheck.evaluation import RunConfig

    config = RunConfig(batch_size=4, shard_size=4)
    evaluation = Evaluation(toy_classifier, toy_images, config, store=Interrupted(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        evaluation.run(["Adv_1"])
    assert evaluation.saved == 4 * (at - 1)
    again = Evaluation(toy_classifier, toy_images, config, store=RecordStore(tmp_path))
    again.run(["Adv_1"])
    assert again.stored.records == 2 * evaluation.saved


# --------------------------------------------------------------------------------------------- memory

MESSAGES = [
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
    "DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_batch_is_halved_whatever_says_that_memory_is_short(toy_images, message):
    class Short(toys.Linear):
        def forward(self, images):
            if len(images) > 3:
                raise RuntimeError(message)
            return super().forward(images)

    with pytest.warns(UserWarning, match="the run continues with smaller batches"):
        records = evaluate(toys.classifier_of(Short()), toy_images, ["Adv_1"], batch_size=8)
    assert records.seen("Adv_1").all()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("index out of bounds"),
        ValueError("out of memory"),
        RuntimeError("shape mismatch"),
        KeyError("memory"),
    ],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(MemoryError())


# ------------------------------------------------------------------------------------- found by fuzzing


@pytest.mark.parametrize(
    ("column", "known"), [("id", [b"x", b"y"]), ("view", [b"x", b"y"]), ("id", [1, 2]), ("id", [0.5, 1.5])]
)
def test_texts_of_a_parquet_file_that_are_none(store, column, known):
    """One byte of a file's schema makes its texts bytes."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = next(store.rglob("*.parquet"))
    table = parquet.read_table(path)
    codes = pa.array([row % 2 for row in range(len(table))], pa.int32())
    other = pa.DictionaryArray.from_arrays(codes, pa.array(known))
    at = table.column_names.index(column)
    parquet.write_table(table.set_column(at, column, other), path)
    for reader in (read_block, read):
        with pytest.raises(RobustcheckError, match="parquet"):
            reader(path)
