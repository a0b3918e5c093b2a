"""What Hypothesis prints of a failing example can be pasted."""

from __future__ import annotations

import random
import re

import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from robustcheck.notation import View, parse
from robustcheck.strategies import images, perturbations, views

GREY = torch.full((1, 3, 4, 4), 128, dtype=torch.uint8)
QUIET = settings(
    phases=[Phase.generate, Phase.shrink],
    max_examples=1000,
    database=None,
    deadline=None,
    derandomize=True,
    print_blob=False,
    report_multiple_bugs=False,
)


def printed(strategy, is_right):
    """The text of the argument in Hypothesis' report, and its value."""
    seen = []

    @QUIET
    @given(strategy)
    def property_test(value):
        if not is_right(value):
            seen.append(value)
            raise AssertionError

    with pytest.raises(AssertionError) as caught:
        property_test()
    notes = "\n".join(caught.value.__notes__)
    text = re.search(r"value=(.*?),?(?:  # or any other generated value)?,?\n\)", notes, re.DOTALL)[1]
    return text, seen[-1]


@pytest.mark.parametrize(
    ("strategy", "is_right", "starts"),
    [
        (images(size=4), lambda batch: batch.max() <= 100, "torch.tensor([[[["),
        (images(), lambda _: False, "torch.full((1, 3, 32, 32), 0, dtype=torch.uint8)"),
        (images(), lambda batch: batch.equal(batch.mT), "torch.tensor([0, "),
        (images(size=(2, 3), count=2), lambda batch: batch[0].equal(batch[1]), "torch.tensor([[[["),
        (perturbations(GREY, 5), lambda changed: changed.equal(GREY), "torch.tensor([[[[129"),
        (images(size=4).flatmap(lambda batch: perturbations(batch, 5)), lambda _: False, "torch.full("),
    ],
)
def test_images_are_printed_as_what_makes_them(strategy, is_right, starts):
    text, value = printed(strategy, is_right)
    assert text.startswith(starts)
    pasted = eval(text)
    assert pasted.dtype == torch.uint8
    assert pasted.equal(value)


def test_images_inside_a_tuple_are_printed_so_too():
    text, value = printed(st.tuples(images(size=1), views()), lambda _: False)
    assert eval(text)[0].equal(value[0])
    assert eval(text)[1] == value[1]


def test_other_tensors_are_printed_as_before():
    floats = torch.tensor([[0.5, 1.0], [2.0, 3.0]])
    text, _ = printed(st.just(floats), lambda _: False)
    assert "0.5000" in text
    assert "dtype=torch.uint8" not in text


@pytest.mark.parametrize(
    ("has", "text"),
    [
        (lambda view: "JPG" in str(view), 'parse("JPG")'),
        (lambda view: view.blind_to, 'parse("JPG(Adv_1)")'),
        (lambda view: view.step == "Worst", 'parse("Worst(Adv_1; Adv_2)")'),
        (lambda view: view.through, 'parse("Adv_1[through=JPG]")'),
        (lambda _: True, 'parse("x")'),
    ],
)
def test_views_are_printed_as_they_are_written(has, text):
    shown, value = printed(views(), lambda view: not has(view))
    assert shown == text
    assert eval(shown) == value


@settings(max_examples=100, deadline=None)
@given(views())
def test_the_repr_of_a_view_makes_it(view):
    assert isinstance(view, View)
    assert eval(repr(view)) == parse(repr(view)[7:-2]) == view


@pytest.mark.parametrize("number", range(10))
def test_the_failing_image_is_flat_whatever_the_seed(number):
    """README's example: some levels come back one too low, without order among them."""
    wrong = torch.tensor([level for level in range(2, 256) if level * 7 % 5 == 1])
    failing = find(
        images(size=4),
        lambda batch: bool(torch.isin(batch, wrong).any()),
        settings=settings(database=None, derandomize=False, max_examples=1000),
        random=random.Random(number),
    )
    assert failing.equal(failing[..., :1, :1].expand_as(failing))
    assert failing.min() == 0
    assert len(failing.unique()) == 2
