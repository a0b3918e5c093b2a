"""What is in a store, whether it is whole, and how it is kept small: in Python and on the command line."""

import json
import os

import numpy as np
import pytest

from robustcheck import __main__ as command_line
from robustcheck import evaluate
from robustcheck.store import block
from robustcheck.store import maintenance as store_care
from robustcheck.store.store import RecordStore


@pytest.fixture
def folder(tmp_path, toy_classifier, toy_images):
    """A store of two configurations, of seeds 0 and 1, with a block each, the first the older."""
    made = set()
    for seed in (0, 1):
        evaluate(toy_classifier, toy_images, ["Noise_3"], seed=seed, store=tmp_path / "store")
        (new,) = {*store_care.blocks_in(tmp_path / "store")} - made
        os.utime(new, (1000 + seed, 1000 + seed))
        made.add(new)
    return tmp_path / "store"


def told(capsys, *arguments):
    status = command_line.main(["store", *map(str, arguments)])
    return status, capsys.readouterr().out


def seeds(folder):
    return [config.facts["seed"] for config in store_care.stored_configs(folder)]


def test_list_names_what_the_records_are_of(folder, capsys):
    status, out = told(capsys, "list", folder)
    assert status == 0
    assert out.count("model      toy") == 2
    assert "seed       1" in out
    assert "images     arrays" in out
    assert (
        f"2 configurations, 2 blocks, {sum(p.stat().st_size for p in store_care.blocks_in(folder)) / 1000:.0f} kB"
        in out
    )


def test_list_says_which_records_are_of_another_version(folder, capsys):
    for about in folder.glob("*/study.json"):
        about.write_text(json.dumps(json.loads(about.read_text()) | {"records": "1"}))
    _, out = told(capsys, "list", folder)
    assert out.count("of record version 1, which this robustcheck does not read") == 2


def test_verify_names_a_damaged_block_and_one_of_another_version(folder, capsys, monkeypatch):
    assert told(capsys, "verify", folder) == (0, "2 of 2 blocks are whole\n")
    one, other = store_care.blocks_in(folder)
    data = bytearray(one.read_bytes())
    data[len(data) // 10] ^= 0x10
    one.write_bytes(data)
    status, out = told(capsys, "verify", folder)
    assert status == 1
    assert f"{one} is damaged" in out
    assert "1 of 2 blocks are whole" in out
    monkeypatch.setattr(block, "FORMAT", 9)
    assert (
        f"{other} holds records of version 3, and this robustcheck reads 9"
        in told(capsys, "verify", folder)[1]
    )


def test_prune_takes_what_was_not_used_for_longest(folder, capsys):
    sizes = [path.stat().st_size for path in store_care.blocks_in(folder)]
    assert store_care.prune(folder, sum(sizes)) == (0, 0)
    count, freed = store_care.prune(folder, sum(sizes) - 1)
    assert (count, freed in sizes) == (1, True)
    assert seeds(folder) == ["1"]
    assert told(capsys, "prune", folder)[1].startswith("removed 1 blocks, ")
    assert list(folder.iterdir()) == []


def test_what_is_taken_counts_as_used(folder, toy_classifier, toy_images):
    os_times = {path: path.stat().st_mtime for path in store_care.blocks_in(folder)}
    evaluate(toy_classifier, toy_images, ["Noise_3"], seed=0, store=folder)
    assert sum(path.stat().st_mtime != before for path, before in os_times.items()) == 1
    store_care.prune(folder, max(path.stat().st_size for path in os_times))
    assert seeds(folder) == ["0"]


def test_what_a_killed_process_left_is_taken_away_once_it_is_old(folder):
    place = next(store_care.blocks_in(folder)).parent
    old, young = (place / f".{name}.parquet.0a.part" for name in ("old", "young"))
    for path in (old, young):
        path.write_text("half")
    os.utime(old, (1, 1))
    store_care.prune(folder, 10**9)
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize("limit", ["5", "much", "-1M", ""])
def test_a_limit_that_is_none_is_an_error(folder, capsys, limit):
    assert command_line.main(["store", "prune", str(folder), f"--limit={limit}"]) == 2
    assert "K, M, G or T" in capsys.readouterr().err
    assert len(seeds(folder)) == 2


def test_no_store_there_is_an_error(tmp_path, capsys):
    assert command_line.main(["store", "list", str(tmp_path / "nowhere")]) == 2
    assert "there is no record store at" in capsys.readouterr().err


def test_a_store_of_one_who_may_only_read_is_read(folder, toy_classifier, toy_images, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("read-only")

    open_file = os.open

    def refuse_to_write(path, flags, *rest, **named):
        return refuse() if flags & (os.O_WRONLY | os.O_CREAT) else open_file(path, flags, *rest, **named)

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(os, "open", refuse_to_write)
    said = []
    from robustcheck.evaluation import Evaluation

    evaluation = Evaluation(toy_classifier, toy_images, store=RecordStore(folder, warn=said.append))
    evaluation.run(["Noise_3"])
    assert evaluation.stored.records == 2 * 13
    assert said == []
    assert np.isfinite(evaluation.records.column("p_top", "Noise_3")).all()


@pytest.mark.parametrize("action", ["list", "verify", "prune"])
def test_a_store_that_may_not_be_read_is_no_empty_one(folder, monkeypatch, capsys, action):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", refuse)
    assert command_line.main(["store", action, str(folder)]) == 2
    assert "can't be read (Permission denied)" in capsys.readouterr().err
