"""The guarantees, by simulation: false passes at the exact boundary, and what the intervals cover.

Each count of errors is held to the 99.9 % quantile of the binomial that the promised rate gives: a correct test
fails one of these in a thousand seeds, and the seed is fixed. Where a rate is said to be close to what is
promised, the count is held to be above a share of it too, so that a test which never errs would not pass unseen.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from robustcheck.claims.bets import Wealth
from robustcheck.claims.holm import holm
from robustcheck.claims.intervals import clopper_pearson, sign_test, t_interval
from robustcheck.claims.regression import change
from robustcheck.claims.sequential import MeanTest
from robustcheck.claims.test_spec import TestSpec

pytestmark = pytest.mark.slow

RUNS = 1_500
LENGTH = 1_000
MEAN = 0.55


def most(runs, rate):
    """The most errors in so many runs that a rate explains."""
    return int(binom.ppf(0.999, runs, rate))


def values(kind, rng):
    """Values in [0, 1] whose mean is exactly MEAN."""
    if kind == "0/1":
        return (np.arange(LENGTH) < MEAN * LENGTH).astype(float)
    drawn = rng.beta(0.6, 0.5, LENGTH)
    for _ in range(50):
        drawn = np.clip(drawn + MEAN - drawn.mean(), 0, 1)
    assert abs(drawn.mean() - MEAN) < 1e-12
    return drawn


def stream(kind, replaced, rng):
    base = values(kind, np.random.default_rng(5))
    return rng.choice(base, LENGTH) if replaced else rng.permutation(base)


@pytest.mark.parametrize("replaced", [False, True], ids=["without replacement", "with replacement"])
@pytest.mark.parametrize("kind", ["0/1", "continuous"])
def test_false_verdicts_at_the_boundary(kind, replaced):
    """At a mean of c neither `> c` nor `< c` is true: each is said of it with probability alpha at most."""
    rng = np.random.default_rng(20)
    game = TestSpec(MEAN, 0, 1, None if replaced else LENGTH).game
    best = np.empty((RUNS, 2))
    for run in range(RUNS):
        # The last value is certain from those before; a decision needs the fortune before that.
        drawn = stream(kind, replaced, rng)[:-1]
        wealth = game.after(Wealth.start(), drawn, 0, 0.0, up=True, down=True)
        best[run] = wealth.best_up, wealth.best_down
    for alpha in (0.05, 0.01):
        errors = (best >= -np.log(alpha)).sum(axis=0)
        assert (errors <= most(RUNS, alpha)).all(), errors
    # Without replacement the bets grow to the end; of independent draws many errors would come after these.
    assert ((best >= -np.log(0.05)).sum(axis=0) >= (0.3 if replaced else 0.5) * 0.05 * RUNS).all()


def test_false_passes_of_the_test_that_stops():
    """The same through batches, floor and early stop, for a claim that is false by the least that can be."""
    rng = np.random.default_rng(21)
    spec = TestSpec(MEAN, 0, 1, LENGTH, alpha=0.05, strict=True)
    passes = 0
    for _ in range(RUNS):
        test, drawn = MeanTest(spec), stream("0/1", False, rng)
        for start in range(0, LENGTH, 64):
            test.update(drawn[start : start + 64])
            if test.done:
                break
        passes += test.state == "holds"
    assert 0.3 * 0.05 * RUNS <= passes <= most(RUNS, 0.05)


@pytest.mark.parametrize("replaced", [False, True], ids=["without replacement", "with replacement"])
def test_bounds_cover_wherever_it_stopped(replaced):
    """A claim that is easily decided stops early, where its estimate is biased; the bounds still hold."""
    rng = np.random.default_rng(22)
    runs, below, above = 300, 0, 0
    for _ in range(runs):
        test, drawn = (
            MeanTest(TestSpec(0.5, 0, 1, None if replaced else LENGTH)),
            stream("0/1", replaced, rng),
        )
        for start in range(0, LENGTH, 64):
            test.update(drawn[start : start + 64])
            if test.done:
                break
        low, high = test.bounds()
        below += low > MEAN + 1e-9
        above += high < MEAN - 1e-9
    assert below <= most(runs, 0.05)
    assert above <= most(runs, 0.01)


@pytest.mark.parametrize("n", [1, 5, 20, 1_000])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_clopper_pearson_covers(n, share):
    """Exactly: the probability of each count whose interval misses, summed."""
    counts = np.arange(n + 1)
    intervals = [clopper_pearson(int(count), n) for count in counts]
    weights = binom.pmf(counts, n, share)
    assert weights[[interval.low > share for interval in intervals]].sum() <= 0.025 + 1e-12
    assert weights[[interval.high < share for interval in intervals]].sum() <= 0.025 + 1e-12


@pytest.mark.parametrize(("n", "churn"), [(20, 0.04), (20, 0.3), (200, 0.04), (1_000, 0.1)])
def test_the_approximate_interval_covers_nearly(n, churn):
    """One-sided error of at most 0.058 at a nominal 0.05 was the worst found; the plain t interval reaches 0.45."""
    rng, runs = np.random.default_rng(23), 2_000
    below = above = 0
    for _ in range(runs):
        difference = rng.choice([-1.0, 0.0, 1.0], n, p=[churn * 0.8, 1 - churn, churn * 0.2])
        interval = t_interval(difference, -1, 1, confidence=0.9)
        below += interval.low > -0.6 * churn
        above += interval.high < -0.6 * churn
    assert below <= most(runs, 0.058)
    assert above <= most(runs, 0.058)


def test_mcnemar_finds_a_change_in_nothing_rarely():
    rng, runs = np.random.default_rng(24), 1_000
    found = 0
    for _ in range(runs):
        old = rng.random(200) < 0.7
        new = np.where(rng.random(200) < 0.2, rng.random(200) < 0.5, old)
        flipped = np.where(rng.random(200) < 0.5, new, old)
        other = np.where(flipped == new, old, new)  # exchangeable with `flipped`, image by image
        found += change(flipped, other).p <= 0.05
    assert 1 <= found <= most(runs, 0.05)


def test_a_holm_family_errs_at_most_alpha():
    """Four claims, all false by the least that can be: that any passes has probability alpha."""
    rng, runs = np.random.default_rng(25), 400
    any_passed = alone = 0
    for _ in range(runs):
        verdicts = []
        for _ in range(4):
            test = MeanTest(TestSpec(MEAN, 0, 1, LENGTH, alpha=0.05 / 4, strict=True))
            test.update(stream("0/1", False, rng)[: LENGTH // 2])
            verdicts.append(test.verdict())
        any_passed += any(holm(verdicts))
        alone += any(verdict.evidence_for >= 20 for verdict in verdicts)
    assert any_passed <= most(runs, 0.05) < alone


def test_sign_test_is_the_binomial_tail():
    for more in range(12):
        for less in range(12):
            assert sign_test(more, less) == pytest.approx(binom.sf(more - 1, more + less, 0.5))
