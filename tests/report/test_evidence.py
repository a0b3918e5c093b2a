"""The images that a failed claim shows are the worst, and not the first: those furthest from right."""

import numpy as np
import pytest

from robustcheck.claims import parse_claim
from robustcheck.notation import parse
from robustcheck.report.evidence import worst_images
from robustcheck.report.pictures import choose

COUNT = 12


@pytest.fixture
def records(made):
    """Every image is right clean and wrong attacked; p(l_x) under attack falls from the first to the last."""
    records = made.records(COUNT, ("x", "Adv_1"))
    for view, correct in (("x", 1), ("Adv_1", 0)):
        records.columns[parse(view)]["correct"][:] = correct
    records.columns[parse("Adv_1")]["p_top"][:] = np.linspace(0.6, 0.05, COUNT)
    return records


@pytest.mark.parametrize(
    "claim",
    ["accuracy(Adv_1) >= 0.9", "accuracy(Adv_1) >= 0.8 * accuracy(x)", "top_probability(Adv_1) >= 0.7"],
)
def test_of_images_that_count_the_same_the_least_sure_come_first(records, claim):
    records.columns[parse("x")]["p_top"][:] = 0.9
    head, *lines = worst_images(parse_claim(claim), records)
    assert head.startswith(f"worst images (5 of {COUNT} that count against it")
    assert [line.split("p(top) ")[1][:4] for line in lines] == ["0.05", "0.10", "0.15", "0.20", "0.25"]


def test_a_claim_that_wants_less_shows_the_surest(records):
    records.columns[parse("Adv_1")]["correct"][:] = 1
    _, *lines = worst_images(parse_claim("accuracy(Adv_1) <= 0.1"), records)
    assert [line.split("p(top) ")[1] for line in lines[:2]] == ["0.60", "0.55"]


def test_of_images_wrong_without_an_attack_the_surest_of_the_wrong_label_come_first(records):
    clean = records.columns[parse("x")]
    clean["correct"][:], clean["p_top"][:] = 0, np.linspace(0.3, 0.96, COUNT)
    _, *lines = worst_images(parse_claim("accuracy(x) >= 0.9"), records)
    assert [line.split("p(top) ")[1] for line in lines[:2]] == ["0.96", "0.90"]


def test_pictures_are_of_the_worst_too(records):
    (choice,) = choose(records)
    assert choice.rows == (11, 10, 9)
