"""`python -m robustcheck merge` and `compare` on files of records."""

import subprocess
import sys

import numpy as np
import pytest

from robustcheck.__main__ import main
from robustcheck.records.csv import load, loads, save
from tests.records.test_csv import same
from tests.records.test_records import records


@pytest.fixture
def files(tmp_path):
    """Write records as A.csv, B.csv, ...; return their paths."""

    def write(*several):
        paths = [tmp_path / f"{name}.csv" for name, _ in zip("ABC", several, strict=False)]
        for path, each in zip(paths, several, strict=True):
            save(each, path, {"classes": 3})
        return [*map(str, paths)]

    return write


def test_jobs_over_views_and_over_images_are_merged(files, tmp_path, capsys):
    more = records(ids=("cc", "bb", "aa"), header={"images": "more, 3 images"})
    paths = files(records(), records(adv=(-1, -1, 2)), more)
    assert main(["merge", *paths, "--out", str(tmp_path / "all.csv")]) == 0
    assert "6 images under 2 views" in capsys.readouterr().out
    merged, header = load(tmp_path / "all.csv")
    assert merged.column("prediction", "Adv_1").tolist() == [0, 2, 2, 0, 2, -1]
    assert header["merged"] == ["A.csv", "B.csv", "C.csv"]


@pytest.mark.parametrize("name", ["all.txt", "all", "all.csv.gz", "all.html"])
def test_records_are_merged_into_a_file_that_can_be_read_again(files, tmp_path, capsys, name):
    assert main(["merge", *files(records()), "--out", str(tmp_path / name)]) == 2
    assert f"ends in .csv or .parquet, got {tmp_path / name}" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="/dev/stdout")
def test_records_that_go_to_standard_output_are_all_that_it_gets(files, tmp_path):
    (path,) = files(records())
    command = [sys.executable, "-m", "robustcheck", "merge", path, "--out", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    same(loads(done.stdout)[0], records())
    assert "3 images under 2 views written to /dev/stdout" in done.stderr


def test_what_does_not_belong_together_is_not_merged(files, tmp_path, capsys):
    paths = files(records(), records(header={"model": "other"}))
    assert main(["merge", *paths, "--out", str(tmp_path / "all.csv")]) == 2
    assert "B.csv: these records can't be merged: model 'toy' and 'other'" in capsys.readouterr().err
    assert not (tmp_path / "all.csv").exists()


def test_compare_pairs_what_both_evaluated_and_says_what_it_left_out(files, capsys):
    one, two = files(records(adv=(0, 2, 1)), records(adv=(0, -1, 2), names=("a.png", "b.png", "new.png")))
    assert main(["compare", one, two]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Adv_1: 50.0 % -> 100.0 %: +50.0 points" in out
    assert "1 won of 2" in out
    assert "this run stopped early: Adv_1 was evaluated on 2 of 3 images" in out


def test_images_that_were_not_decoded_are_no_other_image_set(files, capsys):
    cut = records(ids=("ff", "ee", ""))
    for rows in cut.columns.values():
        rows["prediction"][2] = -1
    one, two = files(records(adv=(0, 2, 1)), cut)
    assert main(["compare", one, two]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "another image set" not in out
    assert "1 of the baseline's 3 images missing here" in out
    assert "none of 2 images lost or won: x" in out


def test_equal_pixels_are_paired_by_label(files, capsys):
    same = {"ids": ("ff", "ff", "dd")}
    one = records(labels=(0, 1, 2), adv=(0, 1, 1), **same)
    two = records(labels=(1, 0, 2), adv=(1, 0, 1), **same)
    two.columns[two.views[0]]["prediction"][:2] = [1, 0]
    assert main(["compare", *files(one, two)]) == 0
    assert "none of 3 images lost or won: Adv_1" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("adv", "arguments", "status"),
    [
        ((0, 1, 1), ["--fail-on-regression"], 0),
        ((1, 2, 1), ["--fail-on-regression"], 1),
        ((1, 2, 1), [], 0),
        ((1, 1, 2), ["--fail-on-regression=20"], 0),
        ((1, 2, 1), ["--fail-on-regression=20"], 1),
    ],
)
def test_compare_can_gate(files, adv, arguments, status, capsys):
    paths = files(records(adv=(0, 2, 1)), records(adv=adv))
    assert main(["compare", *paths, *arguments]) == status
    assert ("FAILED" in capsys.readouterr().out) == bool(status)


def test_compare_gates_nothing_without_something_to_compare(files, capsys):
    other = records(ids=("00", "01", "02"))
    assert main(["compare", *files(records(), other), "--fail-on-regression"]) == 1
    out = capsys.readouterr().out
    assert "nothing could be compared" in out
    assert np.isclose(other.mean("accuracy", "x"), 2 / 3)


@pytest.mark.parametrize("points", ["-1", "101", "x", "nan"])
def test_points_are_percentage_points(files, points, capsys):
    with pytest.raises(SystemExit):
        main(["compare", *files(records(), records()), f"--fail-on-regression={points}"])
    assert "percentage points from 0 to 100" in capsys.readouterr().err
