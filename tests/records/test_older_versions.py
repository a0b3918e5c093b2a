"""Files of records that an earlier version wrote: read without the columns that came later, and compared with new records."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robustcheck.claims import changes_since
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.notation import parse
from robustcheck.records.baseline import Baseline, save_baseline
from robustcheck.records.provenance import LABELS
from robustcheck.records.tables import read, write
from tests import toys

FOLDER = Path(__file__).parent / "version_2"
VIEWS = ("Adv_1", "PGD_2[steps=4]", "JPG(PGD_2[steps=4])")
FILES = pytest.mark.parametrize("name", ["records.csv", "records.parquet"])


@pytest.fixture(scope="module")
def new():
    """What this version measures of the model and images that the files are of."""
    classifier = toys.classifier_of(toys.Linear())
    evaluation = Evaluation(classifier, toys.images_for(classifier, 4, wrong=1, name="four"), RunConfig(0, 2))
    evaluation.run(VIEWS)
    return evaluation.records


@FILES
def test_a_file_of_version_2_is_read_without_what_came_later(name):
    old, header = read(FOLDER / name)
    assert header["format"] == 2
    assert [*map(str, old.views)] == ["x", *VIEWS]
    assert old.provenance.labels == LABELS
    assert old.mean("kept", "PGD_2[steps=4]") == 0.5
    assert (old.column("rising", "x") == 0).all()
    for view in VIEWS:
        assert np.isnan(old.column("rising", view)).all()
    table = old.to_pandas()
    assert table["rising"].dtype == float
    assert table["rising"].notna().sum() == 4


@FILES
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_it_is_written_anew_in_this_version(tmp_path, name, suffix):
    old, _ = read(FOLDER / name)
    write(old, tmp_path / f"new{suffix}")
    again, header = read(tmp_path / f"new{suffix}")
    assert header["format"] == 3
    toys.assert_same_records(old, again)


def test_a_baseline_of_version_2_is_compared_with_and_replaced(tmp_path, new):
    path = tmp_path / "robustcheck-baselines" / "old.csv"
    path.parent.mkdir()
    path.write_bytes((FOLDER / "records.csv").read_bytes())
    baseline = Baseline.read("old", tmp_path)
    changes = dict(changes_since(baseline, new))
    assert [*map(str, changes)] == ["x", *VIEWS]
    assert {change.n for change in changes.values()} == {4}
    assert (len(changes[parse("x")].lost), len(changes[parse("x")].won)) == (0, 0)
    save_baseline("old", tmp_path, new, {})
    toys.assert_same_records(Baseline.read("old", tmp_path).records, new)


def test_old_and_new_records_are_merged_and_concatenated(new):
    view = VIEWS[1]
    old, _ = read(FOLDER / "records.csv")
    old = replace(old, provenance=new.provenance)  # of other versions of torch, it may be
    assert np.isnan(old.merge(new).column("rising", view)).all()
    assert not np.isnan(new.merge(old).column("rising", view)).any()
    others = replace(new, ids=tuple(f"{at:016x}" for at in range(4)))
    both = old.concat(others)
    assert np.isnan(both.column("rising", view)).tolist() == [True] * 4 + [False] * 4
    assert both.mean("rising", view) == new.mean("rising", view)
