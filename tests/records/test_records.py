import re

import numpy as np
import pytest

from robustcheck import Records, RobustcheckError
from robustcheck.notation import X, parse
from robustcheck.records import as_rows
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


def records(
    labels=(0, 1, 2),
    names=("a.png", "b.png", "c.png"),
    adv=(0, 2, -1),
    ids=("ff", "ee", "dd"),
    header=(),
    **rest,
):
    labels = np.array(labels)
    top = np.array([0, 1, 1])
    return Records(
        ids=tuple(ids),
        names=tuple(names),
        labels=labels,
        columns={
            X: columns(top, [0.9, 0.8, 0.7], labels, top),
            ADV: columns(adv, [0.5, 0.25, 0.1], labels, top),
        },
        provenance=Provenance.from_header({"model": "toy", "images": "made, 3 images"} | dict(header)),
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


def test_merge_takes_what_either_has():
    merged = records().merge(records(adv=(-1, -1, 2)))
    assert merged.column("prediction", "Adv_1").tolist() == [0, 2, 2]
    assert records(adv=(0, 2, 2)).merge(records()).seen("Adv_1").all()
    assert records(names=("a.png", "", "c.png"), ids=("ff", "", "dd")).merge(records()).names[1] == "b.png"


OTHERS = [
    ({"names": ("a", "b", "d")}, "3 images with another name"),
    ({"ids": ("ff", "ee", "00")}, "1 images with another hash of pixels"),
    ({"labels": (0, 1, 0)}, "1 images with another label"),
    ({"header": {"model": "other"}}, "model 'toy' and 'other'"),
    ({"header": {"seed": "1"}}, "seed '' and '1'"),
    ({"header": {"codec": "q75, by a"}}, "codec '' and 'q75'"),
    ({"header": {"device": "cuda:0 H100"}}, "device '' and 'cuda H100'"),
    ({"header": {"precision": "bf16"}}, "precision '' and 'bf16'"),
    ({"header": {"versions": "torch 3"}}, "versions '' and 'torch 3'"),
]


@pytest.mark.parametrize(("other", "message"), OTHERS)
def test_records_that_do_not_belong_together_are_not_merged(other, message):
    with pytest.raises(RobustcheckError, match=re.escape(message)):
        records().merge(records(**other))


@pytest.mark.parametrize(
    "header", [{"device": "cuda:0 H100"}, {"libraries": "foolbox 3"}, {"batch size": "8"}]
)
def test_what_no_number_depends_on_may_differ(header):
    one = records(header={"device": "cuda:1 H100"})
    assert len(one.merge(records(header={"device": "cuda:1 H100"} | header))) == 3


def test_records_of_different_images_are_one_after_the_other():
    other = records(ids=("cc", "bb", "aa"), adv=(2, 2, 2), header={"images": "more, 3 images"})
    both = records().concat(other)
    assert both.ids == ("ff", "ee", "dd", "cc", "bb", "aa")
    assert both.column("prediction", "Adv_1").tolist() == [0, 2, -1, 2, 2, 2]
    assert str(both.provenance.images) == "made and more, 6 images"
    with pytest.raises(RobustcheckError, match="1 image is in both"):
        records().concat(records(ids=("cc", "bb", "dd")))
    with pytest.raises(RobustcheckError, match="model 'toy' and 'other'"):
        records().concat(records(ids=("cc", "bb", "aa"), header={"model": "other"}))


def test_pandas_has_a_row_per_image_and_view_seen():
    table = records().to_pandas()
    assert len(table) == 5
    assert list(table[table.view == "Adv_1"].name) == ["a.png", "b.png"]
    assert table.correct.mean() == 3 / 5


def test_data_frame_of_nothing_is_empty():
    table = Records((), (), np.array([], np.int64), {}).to_pandas()
    assert len(table) == 0
    assert {"view", "prediction", "name"} <= set(table.columns)
