"""Which images are shown, what is shown of them, and the lines over epsilon and quality."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustcheck import register_defence
from robustcheck.evaluation import Evaluation
from robustcheck.images import ImageSet
from robustcheck.notation import parse, temporary_steps
from robustcheck.records.baseline import Baseline
from robustcheck.report.pictures import choose, panels_of
from robustcheck.report.study import Study, merge_studies
from robustcheck.report.sweeps import sweeps_of
from robustcheck.robustness import Robustness

#        right:   x  Adv  JPG  noise
OUTCOMES = np.array([[1, 0, 1, 0], [1, 0, 1, 1], [1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]])


def known(made, outcomes=OUTCOMES):
    records = made.records(len(outcomes))
    for at, own in enumerate(records.columns.values()):
        own["correct"][:] = outcomes[:, at]
    return records


def test_images_are_grouped_by_what_gave_them_back(made):
    groups = {choice.group: choice.rows for choice in choose(known(made))}
    assert groups == {
        "Given back by JPEG and not by noise of its size": (0,),
        "Given back by noise just as well": (1,),
        "Lost, and not given back": (2,),
    }


def test_against_a_baseline_the_newly_lost_come_first(made):
    now = known(made)
    then = known(made, np.ones_like(OUTCOMES))
    first = next(choose(now, Baseline(Path("v1.csv"), then)))
    assert (first.group, first.rows) == ("Newly lost since the baseline: JPG(Adv_1)", (2,))


def test_without_a_defence_those_lost_to_the_attack_are_shown(made):
    records = made.records(5, ("x", "Adv_1"))
    records.columns[parse("Adv_1")]["correct"][:] = [1, 0, 1, 1, 0]
    (choice,) = choose(records)
    assert (choice.group, choice.rows) == ("Lost under Adv_1", (4, 1))
    assert not list(choose(made.records(5, ("x",))))


@pytest.fixture
def evaluated(toy_classifier, toy_images):
    robustness = Robustness(Evaluation(toy_classifier, toy_images))
    robustness.evaluate("Adv_20", "JPG(Adv_20)", "JPG_noise(Adv_20)")
    return robustness


def test_pictures_hold_the_pixels_and_say_what_the_records_say(evaluated, toy_images):
    panels = panels_of(evaluated)
    assert panels
    records = evaluated.records
    for panel in panels:
        row = records.names.index(panel.image)
        clean, attacked = panel.pictures[:2]
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(clean.data))).convert("RGB"))
        assert (pixels.transpose(2, 0, 1) == next(toy_images.batches(13)).pixels[row].numpy()).all()
        for picture in (clean, attacked):
            assert picture.top[0].index == records.columns[parse(picture.title)]["prediction"][row]
            assert [guess.probability for guess in picture.top] == sorted(
                (guess.probability for guess in picture.top), reverse=True
            )
            assert len(picture.top) == 3
        assert panel.pictures[-1].title == "Adv_20 - x, times 3"


def test_classes_go_by_the_folders_where_the_classifier_knows_no_names(toy_classifier, toy_images):
    batch = next(toy_images.batches(13))
    named = ImageSet.from_arrays(batch.pixels, batch.labels.numpy(), class_names=["ant", "bee", "cat", "dog"])
    robustness = Robustness(Evaluation(toy_classifier, named))
    robustness.evaluate("Adv_20")
    names = {guess.name for panel in panels_of(robustness) for p in panel.pictures for guess in p.top}
    assert names
    assert names <= {"ant", "bee", "cat", "dog"}


def test_images_that_are_gone_leave_a_page_without_pictures(evaluated, monkeypatch):
    def gone(self, views, rows):
        raise FileNotFoundError("image-0.png")

    monkeypatch.setattr(Robustness, "look", gone)
    assert panels_of(evaluated) == ()


def test_pictures_travel_from_workers_and_the_fuller_are_kept(made):
    study = Study(made.records(), 5, (made.panel(), made.panel()))
    (merged,) = merge_studies(
        [Study.from_plain(replace(study, panels=()).to_plain()), Study.from_plain(study.to_plain())]
    )
    assert merged.panels == study.panels


def test_views_that_differ_in_one_number_make_a_line():
    views = [
        "x",
        "Adv_1",
        "Adv_5",
        "JPG(Adv_1)",
        "JPG_50(Adv_1)",
        "JPG(Adv_5)",
        "JPG_noise(Adv_1)",
        "Noise_3",
    ]
    means = {parse(view): (0.5, 0.4, 0.6) for view in views}
    lines = {
        (sweep.axis, line.name): [point.amount for point in line.points]
        for sweep in sweeps_of(means)
        for line in sweep.lines
    }
    assert lines == {
        ("epsilon", "Adv_ε"): [0, 1, 5],
        ("epsilon", "JPG(Adv_ε)"): [1, 5],
        ("quality", "JPG_q(Adv_1)"): [50, 75],
    }


@pytest.fixture
def median():
    with temporary_steps():

        @register_defence("Median", amount="size")
        def median(images, *, size: int = 3): ...

        yield


def test_a_defence_of_the_repository_has_a_line_over_what_its_amount_is(median):
    means = {parse(view): (0.5, 0.4, 0.6) for view in ("Median(Adv_1)", "Median_5(Adv_1)", "JPG(Adv_1)")}
    (sweep,) = sweeps_of(means)
    assert (sweep.axis, sweep.lines[0].name) == ("size", "Median_s(Adv_1)")
    assert [point.amount for point in sweep.lines[0].points] == [3, 5]


def test_a_defence_of_the_repository_is_called_by_its_name(median, made):
    records = made.records(5, ("x", "Adv_1", "Median(Adv_1)"))
    for at, view in enumerate(records.views):
        records.columns[view]["correct"][:] = OUTCOMES[:, at]
    assert [choice.group for choice in choose(records)] == [
        "Given back by Median",
        "Lost, and not given back",
    ]
