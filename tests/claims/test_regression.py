"""Two runs on the same images: what changed, and whether it got worse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from robustcheck.claims.regression import change, no_regression, no_regression_early
from robustcheck.errors import RobustcheckError

pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=200)


@settings(deadline=None)
@given(pairs)
def test_change_by_hand(rows):
    new, old = np.array(rows).T
    found = change(new, old)
    assert found.change == pytest.approx((new - old).mean())
    assert list(found.lost) == [at for at, (n, o) in enumerate(rows) if n < o]
    assert list(found.won) == [at for at, (n, o) in enumerate(rows) if n > o]
    flips = len(found.lost) + len(found.won)
    expected = binomtest(len(found.lost), flips).pvalue if flips else 1.0
    assert found.p == pytest.approx(expected)
    assert found.interval.low <= found.change + 0.5


@settings(deadline=None)
@given(pairs)
def test_turning_time_turns_the_change(rows):
    new, old = np.array(rows).T
    there, back = change(new, old), change(old, new)
    assert (there.lost, there.won, there.p) == (back.won, back.lost, back.p)
    assert there.change == pytest.approx(-back.change)


def test_it_explains_itself():
    old = (np.arange(1_000) < 760).astype(float)
    new = old.copy()
    new[:30] = 0
    new[800:805] = 1
    assert repr(change(new, old)) == (
        "76.0 % -> 73.5 %: -2.5 points (about -3.7 .. -1.3), 30 lost, 5 won of 1000, McNemar p = 2.2e-05"
    )


@pytest.mark.parametrize(("lost", "state"), [(10, "holds"), (11, "refuted"), (0, "holds")])
def test_no_regression_at_the_tolerance(lost, state):
    old, new = np.ones(1_000), np.ones(1_000)
    new[:lost] = 0
    verdict = no_regression(new, old, tolerance=0.01)
    assert verdict.state == state
    assert verdict.exact
    assert verdict.estimate == pytest.approx(-lost / 1_000)
    assert no_regression(old, new, tolerance=0)


def test_no_regression_stops_early():
    rng = np.random.default_rng(0)
    old = (rng.random(50_000) < 0.76).astype(float)
    worse = np.where(rng.random(50_000) < 0.1, 0.0, old)
    for new, state in ((old, "holds"), (worse, "refuted")):
        table, drawn = rng.permutation(np.column_stack([new, old])), []
        draws = (drawn.append(at) or table[at : at + 64] for at in range(0, 50_000, 64))
        verdict = no_regression_early(draws, 50_000, tolerance=0.02)
        assert (verdict.state, verdict.exact) == (state, False)
        assert verdict.seen == drawn[-1] + 64 < 3_000
        assert verdict.low <= (new - old).mean() <= verdict.high


def test_a_budget_leaves_it_open():
    table = np.column_stack([np.arange(5_000) % 2, np.arange(5_000) % 2])
    verdict = no_regression_early([table], 5_000, tolerance=0.0001, budget=300)
    assert (verdict.state, verdict.seen) == ("not shown", 300)


@pytest.mark.parametrize(
    ("new", "old", "message"),
    [
        ([1, 0], [1], r"shapes \(2,\) and \(1,\)"),
        ([1, 2], [1, 0], "outside, or NaN"),
        ([1, np.nan], [1, 0], "outside, or NaN"),
        ([], [], "no images"),
    ],
)
def test_columns_that_do_not_pair(new, old, message):
    with pytest.raises(RobustcheckError, match=message):
        change(new, old)
    with pytest.raises(RobustcheckError, match=message):
        no_regression(new, old)


def test_the_tolerance_is_a_share():
    with pytest.raises(RobustcheckError, match="tolerance must be >= 0 and < 1, got 5"):
        no_regression([1], [1], tolerance=5)
