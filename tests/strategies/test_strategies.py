from __future__ import annotations

import sys
from importlib import reload

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import find as hypothesis_find
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from robustcheck import RobustcheckError, evaluate, strategies
from robustcheck.notation import STEPS, View, X, parse
from robustcheck.strategies import epsilons, images, perturbations, views

GREY = torch.full((1, 3, 4, 4), 128, dtype=torch.uint8)
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
    assert find(perturbations(GREY, 5), lambda changed: bool((changed == 133).all())).shape == GREY.shape
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


@pytest.mark.parametrize(
    "shape",
    [
        np.int64(5),
        np.array(5),
        torch.tensor(5),
        (np.int32(5), 5),
        [5, 5],
        np.array([5, 5]),
        torch.Size([5, 5]),
    ],
    ids=repr,
)
def test_sizes_and_counts_are_integers_of_any_library(shape):
    batch = find(images(size=shape, count=np.int16(2)), lambda batch: True)
    assert batch.shape == (2, 3, 5, 5)
    assert find(images(size=st.just(shape), count=st.just(torch.tensor(2))), lambda batch: True).equal(batch)
    assert any_of(views(deepest=np.int8(1)), lambda view: view != X).sources == (X,)
    assert any_of(epsilons(np.int64(3), np.uint8(3)), lambda epsilon: True) == 3
    assert (
        any_of(perturbations(GREY, torch.tensor(3)), lambda changed: bool((changed == 131).all())).shape
        == GREY.shape
    )


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 3, 0, 4), (1, 1, 2, 2)])
def test_perturbations_of_other_shapes(shape):
    clean = torch.zeros(shape, dtype=torch.uint8)
    assert find(perturbations(clean, 3), lambda changed: True).equal(clean)
    assert any_of(perturbations(clean, np.int64(0)), lambda changed: True).equal(clean)


def test_views_of_every_declared_step_are_found():
    for name, step in STEPS.items():
        if not step.is_open:
            assert any_of(views(), lambda view, name=name: any(part.step == name for part in view.walk()))
    unforked = ["Adv", "PGD", "JPG", "Noise"]
    assert any_of(views(steps=unforked), lambda view: len(list(view.walk())) == 4)
    with pytest.raises(NoSuchExample):
        any_of(views(steps=unforked, deepest=2), lambda view: len(list(view.walk())) == 4, 200)
    only = any_of(views(steps=["JPG"]), lambda view: view != X)
    assert only.step == "JPG"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(view=views(deepest=2))
def test_views_can_be_evaluated(toy_classifier, toy_images, view):
    records = evaluate(toy_classifier, toy_images, [view])
    assert records.seen(view).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: epsilons(0, 3), "epsilon must be an integer number of pixel levels from 1 to 255, got 0"),
        (lambda: epsilons(1, 8 / 255), "epsilon must be an integer .*8/255 in other tools is epsilon=8 here"),
        (lambda: epsilons(4, 3), "epsilons must satisfy low <= high .*, got low 4 and high 3"),
        (lambda: views(steps=["JGP"]), "steps must be some of Adv, .*; got JGP"),
        (lambda: views(steps="JGP"), "steps must be some of Adv, .*; got JGP"),
        (lambda: views(deepest=-1), "deepest must be an integer >= 0, got -1"),
        (lambda: find(images(size=0), bool), "size must be an integer >= 1, or a pair .*, got 0"),
        (lambda: find(images(size=(1, 2, 3)), bool), r"size must be .* a pair .*, got \(1, 2, 3\)"),
        (lambda: find(images(size=2.5), bool), "size must be .*, got 2.5"),
        (lambda: find(images(size="32"), bool), "size must be .*, got '32'"),
        (lambda: find(images(size=st.just(True)), bool), "size must be .*, got True"),
        (lambda: find(images(size=(4, np.float32(4))), bool), "size must be .*, got "),
        (lambda: find(images(count=0), bool), "count must be an integer >= 1, got 0"),
        (lambda: find(images(count=st.just(1.5)), bool), "count must be an integer >= 1, got 1.5"),
        (
            lambda: find(perturbations(torch.zeros(1, 3, 4, 4), 2), bool),
            r"images must be uint8 .*, got torch.float32 \(1, 3",
        ),
        (
            lambda: find(perturbations(GREY[0], 2), bool),
            r"got torch.uint8 \(3, 4, 4\): add a batch dimension",
        ),
        *[
            (
                lambda epsilon=epsilon: find(perturbations(GREY, epsilon), bool),
                "epsilon must be .*8/255 in other",
            )
            for epsilon in (8 / 255, 2.5, -1, st.just(0.5), np.float32(8 / 255))
        ],
        (lambda: find(perturbations([1], 2), bool), "images must be uint8 .*, got list"),
        (
            lambda: find(perturbations(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 300), bool),
            "epsilon must be .* from 1 to 255, got 300",
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


@pytest.mark.parametrize("size", [{3, 4}, iter((3, 4)), {"height": 3, "width": 4}])
def test_sides_without_an_order_are_refused(size):
    with pytest.raises(RobustcheckError, match=r"a pair \(height, width\)"):
        hypothesis_find(images(size=size), lambda _: True)


@pytest.mark.parametrize("shape", [{"size": 10**9}, {"size": 3, "count": 10**9}, {"size": (1, 2**28)}])
def test_batch_that_does_not_fit_into_memory_is_refused(shape):
    with pytest.raises(RobustcheckError, match=r"at most 268435456 samples .* draw fewer or smaller images"):
        hypothesis_find(images(**shape), lambda _: True)


def test_images_on_the_meta_device_are_refused():
    with pytest.raises(RobustcheckError, match="must have values"):
        hypothesis_find(
            perturbations(torch.zeros(1, 3, 2, 2, dtype=torch.uint8, device="meta"), 2), lambda _: True
        )


@pytest.mark.parametrize("steps", [3, 2.5, [None]])
def test_steps_that_are_no_names_are_refused(steps):
    with pytest.raises(RobustcheckError, match="steps must be some of"):
        views(steps=steps)
