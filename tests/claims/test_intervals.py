"""Intervals of a fixed number of images against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t

from robustcheck.claims.intervals import clopper_pearson, t_interval


@settings(deadline=None)
@given(st.integers(1, 3_000), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.99]))
def test_clopper_pearson_is_scipys(n, share, confidence):
    successes = round(share * n)
    ours = clopper_pearson(successes, n, confidence=confidence)
    theirs = binomtest(successes, n).proportion_ci(confidence, "exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert ours.exact
    assert ours.confidence == confidence


def test_clopper_pearson_at_the_ends():
    assert clopper_pearson(0, 20).low == 0
    assert clopper_pearson(20, 20).high == 1
    assert clopper_pearson(20, 20).low == pytest.approx(0.025 ** (1 / 20))


def test_t_interval_adds_one_value_at_each_end():
    values = np.array([0.2, 0.3, -0.1, 0.4, 0.1, 0.2])
    padded = np.array([-1.0, 0.2, 0.3, -0.1, 0.4, 0.1, 0.2, 1.0])
    low, high = t.interval(0.95, 7, padded.mean(), padded.std(ddof=1) / np.sqrt(8))
    ours = t_interval(values, -1.0, 1.0)
    assert (ours.low, ours.high) == pytest.approx((low, high))
    assert not ours.exact


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_t_interval_is_inside_the_range_and_mirrors(values):
    interval = t_interval(np.array(values), -1.0, 1.0)
    mirror = t_interval(-np.array(values), -1.0, 1.0)
    assert -1 <= interval.low < interval.high <= 1
    assert (mirror.low, mirror.high) == pytest.approx((-interval.high, -interval.low))


def test_values_that_do_not_vary_still_leave_room():
    assert t_interval(np.ones(20), 0.0, 1.0).low < 0.9
