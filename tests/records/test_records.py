import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustcheck import Records, RobustcheckError
from robustcheck.notation import X, parse
from robustcheck.records import COLUMNS, as_rows
from robustcheck.records.csv import dumps, load, loads, save
from robustcheck.records.provenance import Provenance

ADV = parse("Adv_1")


def columns(prediction, p_top, labels, top):
    prediction = np.array(prediction, dtype=np.int64)
    seen = prediction >= 0
    return as_rows(
        {
            "prediction": prediction,
            "correct": np.where(seen & (labels >= 0), prediction == labels, np.nan),
            "p_top": np.where(seen, p_top, np.nan),
            "kept": np.where(seen, prediction == top, np.nan),
            "linf": np.where(seen, 1.0, np.nan),
            "l2": np.where(seen, 2.5, np.nan),
        }
    )


def records(labels=(0, 1, 2), names=("a.png", "b.png", "c.png"), adv=(0, 2, -1), **rest):
    labels = np.array(labels)
    top = np.array([0, 1, 1])
    return Records(
        ids=("ff", "ee", "dd"),
        names=tuple(names),
        labels=labels,
        columns={
            X: columns(top, [0.9, 0.8, 0.7], labels, top),
            ADV: columns(adv, [0.5, 0.25, 0.1], labels, top),
        },
        provenance=Provenance.from_header({"model": "toy"}),
        **rest,
    )


def test_mean_is_over_the_images_that_were_seen():
    assert records().mean("accuracy", "x") == 2 / 3
    assert records().mean("correct", "Adv_1") == 1 / 2
    assert records().mean("top_probability", "Adv_1") == 0.375
    assert list(records().seen("Adv_1")) == [True, True, False]
    with pytest.raises(RobustcheckError, match="no image of Adv_1 was evaluated"):
        records(adv=(-1, -1, -1)).mean("kept", "Adv_1")


@pytest.mark.parametrize(
    ("measure", "view", "message"),
    [
        ("acuracy", "x", "unknown measure 'acuracy': did you mean 'accuracy'"),
        ("kept", "Adv_2", "unknown view of these records 'Adv_2': did you mean 'Adv_1'"),
        ("kept", "JPEG", "unknown step"),
    ],
)
def test_what_is_not_there_is_named(measure, view, message):
    with pytest.raises(RobustcheckError, match=message):
        records().mean(measure, view)


def test_accuracy_of_images_of_which_some_have_no_label_is_refused():
    with pytest.raises(RobustcheckError, match="1 of 3 images have none"):
        records(labels=(0, -1, 2)).mean("accuracy", "x")


def test_merge_takes_what_saw_more():
    merged = records().merge(records(adv=(0, 2, 2)))
    assert merged.seen("Adv_1").all()
    assert records(adv=(0, 2, 2)).merge(records()).seen("Adv_1").all()
    with pytest.raises(RobustcheckError, match="different image sets"):
        records().merge(records(names=("a", "b", "d")))


def test_pandas_has_a_row_per_image_and_view_seen():
    table = records().to_pandas()
    assert len(table) == 5
    assert list(table[table.view == "Adv_1"].name) == ["a.png", "b.png"]
    assert table.correct.mean() == 3 / 5


def same(one, other):
    assert one.ids == other.ids
    assert one.names == other.names
    assert one.views == other.views
    np.testing.assert_array_equal(one.labels, other.labels)
    for view in one.views:
        for name in COLUMNS:
            np.testing.assert_allclose(
                one.columns[view][name], other.columns[view][name], rtol=1e-8, err_msg=f"{name} of {view}"
            )


@given(st.lists(st.text(st.characters(), max_size=30), min_size=3, max_size=3))
def test_text_and_back_is_the_same_whatever_files_are_called(names):
    text = dumps(records(names=names), {"note": "ä"})
    back, header = loads(text)
    same(back, records(names=names))
    assert header["note"] == "ä"
    assert header["provenance"] == {"model": "toy"}
    assert dumps(back, {"note": "ä"}) == text


@given(st.text(max_size=200))
def test_any_text_is_records_or_an_error(text):
    for whole in (text, "# robustcheck records 1\n" + text, "# robustcheck records 1\n# " + text):
        with pytest.raises(RobustcheckError):
            loads(whole)


@given(st.data())
def test_damaged_text_is_an_error_or_reads_as_something_whole(data):
    text = dumps(records())
    at = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(at, min(len(text), at + 9)))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[cut:]
    try:
        back, _ = loads(damaged)
    except RobustcheckError:
        return
    assert len(back.names) == len(back.labels) == len(back.columns[X]["p_top"])


def test_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "records.csv"
    save(records(), path)
    same(load(path)[0], records())
    before = path.read_text()
    monkeypatch.setattr("robustcheck.records.csv.dumps", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save(records(), path)
    assert path.read_text() == before
    assert [file.name for file in path.parent.iterdir()] == ["records.csv"]


def test_file_takes_names_that_are_no_text(tmp_path):
    names = ("\udcff.png", "a\nb.png", "é.png")
    save(records(names=names), tmp_path / "records.csv")
    assert load(tmp_path / "records.csv")[0].names == names


def test_pandas_reads_the_file_by_itself(tmp_path):
    import pandas as pd

    save(records(), tmp_path / "records.csv")
    table = pd.read_csv(tmp_path / "records.csv", comment="#")
    assert list(table["x:prediction"]) == [0, 1, 1]
    assert table["Adv_1:p_top"].isna().sum() == 1


def test_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(RobustcheckError, match=r"nothing\.csv can't be read"):
        load(tmp_path / "nothing.csv")
