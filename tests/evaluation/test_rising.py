"""The column `rising`: whether an attack that had not succeeded was still coming closer when it stopped."""

import numpy as np
import pytest
import torch

from robustcheck import ImageSet
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.report.study import Study
from tests import toys

CALLS = []


class TwoClasses(torch.nn.Module):
    """Two logits, the margin between which is linear in the pixels: each step moves it by the same amount."""

    def forward(self, images):
        CALLS.append(len(images))
        mean = images.mean((1, 2, 3))
        return torch.stack([mean, torch.zeros_like(mean)], dim=1)


def columns(views, levels, batch_size=8, **options):
    """The records of grey images of some levels; the decision boundary is at level 100."""
    classifier = toys.classifier_of(TwoClasses(), mean=(100 / 255,) * 3)
    pixels = np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), 3, 16, 16)).copy()
    evaluation = Evaluation(classifier, ImageSet.from_arrays(pixels), RunConfig(0, batch_size, **options))
    evaluation.run(views)
    return evaluation.records


def test_those_are_rising_that_as_many_steps_again_would_change():
    ten, twenty = "PGD_40[start=zero,step=1,steps=10]", "PGD_40[start=zero,step=1]"
    records = columns([ten, twenty], range(101, 140))
    kept, later = (records.column("kept", view) == 1 for view in (ten, twenty))
    rising = records.column("rising", ten) == 1
    assert rising.any()
    assert (kept & ~rising).any()
    np.testing.assert_array_equal(rising, kept & ~later)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("PGD_5[start=zero,step=1]", 0),  # at the ball's border long before the end
        ("PGD_40[start=zero,step=1,steps=2]", 2),
        ("PGD_40[start=zero,step=1,steps=25]", 14),
        ("PGD_40[start=zero,step=1,steps=10,momentum=0.5]", 9),
        ("PGD_40[loss=margin,start=zero,step=1,steps=10]", 9),
        ("PGD_40[loss=dlr,start=zero,step=1,steps=10]", 9),
        ("PGD_40[start=zero,step=1,steps=10,target=1]", 9),
        ("PGD_1000[norm=2,start=zero,step=25,steps=10]", 9),
        ("APGD_8", 0),
    ],
)
def test_how_many_of_each_attack_are(view, expected):
    levels = range(101, 140)
    found = columns([view], levels).column("rising", view)
    assert not np.isnan(found).any()
    if expected == 0:
        assert not found.any()
    else:
        assert abs(found.sum() - expected) <= 1


STEEP = "PGD_40[start=zero,step=1,steps=10]"


@pytest.mark.parametrize(
    "view",
    [
        "Adv_8",
        "PGD_8[steps=1]",
        "APGD_8[steps=1]",
        "Square_8[queries=1]",
        "PGD_8[eot=2]",
        "PGD_8[through=Noise_2]",
        "APGD_8[through=Noise_2]",
        "Square_8[queries=20,through=Noise_2]",
        "Adv_1(PGD_8)",
        "JPG(Adv_8)",
    ],
)
def test_it_is_missing_where_there_is_none(view):
    assert np.isnan(columns([view], (105, 120)).column("rising", view)).all()


@pytest.mark.parametrize("view", ["x", "JPG", "Noise_2", "JPG_noise(x)"])
def test_images_that_no_attack_made_are_not_rising(view):
    assert (columns([view], (105, 120)).column("rising", view) == 0).all()


@pytest.mark.parametrize(
    "outer", ["JPG({})", "JPG_noise({})", "Noise_2({})", "Noise_2[draws=2]({})", "PGD_2({})"]
)
def test_a_transform_leaves_it_as_it_is_and_another_attack_does_not(outer):
    view = outer.format(STEEP)
    records = columns([STEEP, view], range(101, 130))
    own, inner = records.column("rising", view), records.column("rising", STEEP)
    assert inner.any()
    assert np.array_equal(own, inner) == (not outer.startswith("PGD"))


def test_of_a_selection_it_is_that_of_the_chosen_view():
    records = columns([STEEP, "Adv_20", f"Worst(Adv_20; {STEEP})"], range(101, 130))
    chosen = records.column("rising", f"Worst(Adv_20; {STEEP})")
    assert np.isnan(chosen).all()  # Adv_20 does more wherever the ten steps do not succeed
    both = columns(["PGD_1[start=zero]", STEEP, f"Worst(PGD_1[start=zero]; {STEEP})"], range(101, 130))
    assert (
        both.column("rising", f"Worst(PGD_1[start=zero]; {STEEP})").sum()
        == both.column("rising", STEEP).sum()
    )


def test_of_draws_it_is_the_mean():
    views = ["PGD_40[step=1,steps=10]", "PGD_40[draws=4,step=1,steps=10]"]
    one, four = (columns(views, range(110, 135)).column("rising", view) for view in views)
    assert {*one} == {0.0, 1.0}
    assert {*np.unique(four)} <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert {*np.unique(four)} & {0.25, 0.5, 0.75}


def test_of_restarts_it_is_that_of_the_best():
    view = "PGD_40[restarts=3,step=1,steps=10]"
    records = columns([view], range(101, 140))
    rising, kept = records.column("rising", view), records.column("kept", view)
    assert rising.any()
    assert not rising[kept == 0].any()


def test_it_does_not_depend_on_the_batch():
    for view in ("PGD_40[restarts=2,step=1,steps=10]", "Square_40[queries=50,share=0.1]"):
        one, other = (columns([view], range(101, 130), size).column("rising", view) for size in (3, 29))
        np.testing.assert_array_equal(one, other)
        assert one.any(), view


@pytest.mark.parametrize("steps", [5, 20])
def test_it_costs_no_pass_of_the_model(steps):
    CALLS.clear()
    columns([f"PGD_8[steps={steps}]"], (105,) * 8)
    clean, last, records = 1, 1, 1
    assert CALLS.count(8) == clean + steps + last + records


def test_it_travels_to_other_processes():
    records = columns([STEEP, "Adv_8"], range(101, 130))
    assert records.column("rising", STEEP).any()
    back = Study.from_plain(Study(records, 2).to_plain()).records
    toys.assert_same_records(back, records)
