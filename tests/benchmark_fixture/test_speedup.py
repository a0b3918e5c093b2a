"""The speedup of one function over another, its interval, and its words."""

import re

import numpy as np
import pytest

from robustcheck.benchmark.speedup import Speedup
from robustcheck.errors import RobustcheckError


def test_median_and_interval_are_those_of_the_rounds():
    ours = (1.0,) * 9
    theirs = (9.0, 1.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0)
    ratio = Speedup(ours, theirs)
    assert ratio.ratios == theirs
    assert (ratio.ratio_low, ratio.ratio, ratio.ratio_high) == (2.0, 5.0, 8.0)


def test_larger_is_better_for_ours():
    assert Speedup((1.0,) * 6, (3.0,) * 6).ratio_low == 3
    assert Speedup((3.0,) * 6, (1.0,) * 6).ratio_high == pytest.approx(1 / 3)


@pytest.mark.parametrize("rounds", [6, 9, 15, 30])
def test_interval_holds_the_median_as_often_as_it_says(rounds):
    random = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        theirs = random.lognormal(0.5, 1, rounds)  # skewed; its median is exp(0.5)
        ratio = Speedup((1.0,) * rounds, tuple(theirs))
        held += ratio.ratio_low <= np.exp(0.5) <= ratio.ratio_high
    assert 0.94 <= held / 2000 <= 0.99


def test_repr_explains_itself_in_one_line():
    ratio = Speedup((0.0101,) * 9, (0.0152,) * 9, "cpu (AMD EPYC, 2 threads)")
    assert repr(ratio) == (
        "<ours 10.1 ms, theirs 15.2 ms per call: speedup 1.5, 1.5 .. 1.5 at 95 % over 9 interleaved rounds, "
        "on cpu (AMD EPYC, 2 threads)>"
    )


def test_a_ratio_is_no_truth():
    with pytest.raises(TypeError, match="did you mean ratio_low >= 1"):
        assert Speedup((1.0,) * 6, (3.0,) * 6)


@pytest.mark.parametrize("rounds", [0, 5])
def test_too_few_rounds_for_an_interval(rounds):
    with pytest.raises(RobustcheckError, match=re.escape("rounds must be an integer >= 6")):
        Speedup((1.0,) * rounds, (1.0,) * rounds)


def test_rounds_come_in_pairs():
    with pytest.raises(RobustcheckError, match="as many rounds, got 6 and 7"):
        Speedup((1.0,) * 6, (1.0,) * 7)
