from __future__ import annotations

import sys
from importlib import reload

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import find as hypothesis_find
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from robustcheck import RobustcheckError, evaluate, strategies
from robustcheck.notation import STEPS, View, X, parse
from robustcheck.strategies import epsilons, images, perturbations, views

SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def find(strategy, condition, examples=2000):
    """The simplest example, afresh each time."""
    return hypothesis_find(strategy, condition, settings=settings(database=None, max_examples=examples))


def any_of(strategy, condition, examples=2000):
    """An example, not made simpler."""
    quick = settings(database=None, max_examples=examples, phases=[Phase.generate])
    return hypothesis_find(strategy, condition, settings=quick)


@SOME
@given(images(size=st.tuples(st.integers(1, 20), st.integers(1, 20)), count=st.integers(1, 3)))
def test_images_are_batches_of_bytes(batch):
    assert batch.dtype == torch.uint8
    assert batch.ndim == 4
    assert 1 <= len(batch) <= 3
    assert batch.shape[1] == 3
    assert batch.is_contiguous()


@pytest.mark.parametrize(
    "seldom",
    [
        lambda batch: batch.unique().numel() == 1,
        lambda batch: batch.unique().numel() == 256,
        lambda batch: bool((batch == 255).all()),
        lambda batch: batch.float().std() > 60,
        lambda batch: bool((batch[:, :, 0] != batch[:, :, 1]).all()),
    ],
)
def test_images_of_every_kind_are_found(seldom):
    assert seldom(find(images(size=16), seldom))


def test_examples_shrink_to_a_black_image():
    assert find(images(size=4), lambda batch: True).eq(0).all()
    assert find(images(size=4), lambda batch: batch.max() > 100).sum() == 101 * 16


@SOME
@given(st.data())
def test_perturbations_stay_within_epsilon_and_in_range(data):
    batch = data.draw(images(size=8, count=2))
    epsilon = data.draw(epsilons(1, 9))
    changed = data.draw(perturbations(batch, epsilon))
    assert changed.dtype == torch.uint8
    assert changed.shape == batch.shape
    assert (changed.int() - batch.int()).abs().max() <= epsilon


def test_perturbations_take_strategies_and_reach_epsilon():
    grey = torch.full((1, 3, 4, 4), 128, dtype=torch.uint8)
    assert find(perturbations(grey, 5), lambda changed: bool((changed == 133).all())).shape == grey.shape
    assert find(perturbations(images(size=4), epsilons()), lambda changed: bool(changed.any())).shape == (
        1,
        3,
        4,
        4,
    )


@settings(max_examples=300, deadline=None)
@given(views())
def test_views_are_read_back_as_they_are_written(view):
    assert isinstance(view, View)
    assert parse(str(view)) == view


def test_views_of_every_declared_step_are_found():
    for name, step in STEPS.items():
        if step.kind != "selection" and not step.is_open:
            assert any_of(views(), lambda view, name=name: any(part.step == name for part in view.walk()))
    assert any_of(views(), lambda view: len(list(view.walk())) == 4)
    with pytest.raises(NoSuchExample):
        any_of(views(deepest=2), lambda view: len(list(view.walk())) == 4, 200)
    only = any_of(views(steps=["JPG"]), lambda view: view != X)
    assert only.step == "JPG"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(view=views(steps=["Adv", "JPG", "Noise"], deepest=2))
def test_views_can_be_evaluated(toy_classifier, toy_images, view):
    records = evaluate(toy_classifier, toy_images, [view])
    assert records.seen(view).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: epsilons(0, 3), "epsilons must satisfy 1 <= low <= high <= 255 .*, got low 0 and high 3"),
        (lambda: views(steps=["JGP"]), "steps must be some of Adv, .*; got JGP"),
        (lambda: find(images(size=0), bool), "size and count must be >= 1, got size 0 and count 1"),
        (
            lambda: find(perturbations(torch.zeros(1, 3, 4, 4), 2), bool),
            r"images must be uint8 .*, got torch.float32 \(1, 3",
        ),
        (lambda: find(perturbations([1], 2), bool), "images must be uint8 .*, got list"),
        (
            lambda: find(perturbations(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 300), bool),
            "epsilon must be from 0 to 255 .*, got 300",
        ),
    ],
)
def test_what_can_not_be_drawn_is_refused(make, message):
    with pytest.raises(RobustcheckError, match=message):
        make()


def test_without_hypothesis_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(
        RobustcheckError, match=r"needs Hypothesis: pip install 'pytest-robustcheck\[hypothesis\]'"
    ):
        reload(strategies)
