"""Decisions that old values of the same population assist: what they save, and that they never cost the bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from robustcheck.claims import test_mean as decide_mean
from robustcheck.claims.assisted_bets import AssistedGame, OldValues
from robustcheck.claims.sequential import MeanTest
from robustcheck.claims.test_spec import TestSpec
from robustcheck.errors import RobustcheckError

N = 20_000
KINDS = (
    "churn 1 %",
    "churn 5 %",
    "churn 20 %",
    "shuffled",
    "inverted",
    "constant",
    "random",
    "right on half",
)


def new_values(n=N, share=0.5):
    return (np.arange(n) < round(share * n)).astype(float)


def old_run(kind, new, rng):
    """Return the old values of a baseline of some kind, fixed before any order is drawn."""
    n = len(new)
    match kind.split():
        case ["churn", points, "%"]:
            flips = round(int(points) / 100 * n / 2)  # as many each way
            old = new.copy()
            for value in (0, 1):
                old[rng.choice(np.flatnonzero(new == value), flips, replace=False)] = 1 - value
            return old
        case ["shuffled"]:
            return rng.permutation(new)
        case ["inverted"]:
            return 1 - new
        case ["constant"]:
            return np.full(n, 0.3)
        case ["random"]:
            return rng.random(n)
        case _:
            return np.where(rng.random(n) < 0.5, new, rng.integers(0, 2, n))


def decide(new, threshold, old=None, seed=0, **options):
    order = np.random.default_rng(seed).permutation(len(new))
    baseline = None if old is None else np.asarray(old)[order]
    return decide_mean(
        new[order], threshold, low=0, high=1, population=len(new), min_seen=0, baseline=baseline, **options
    )


class TestSaving:
    def test_few_changes_need_few_images(self):
        new = new_values()
        old = old_run("churn 1 %", new, np.random.default_rng(1))
        for threshold, state in ((0.48, "holds"), (0.52, "refuted")):
            plain, assisted = decide(new, threshold), decide(new, threshold, old)
            assert plain.state == assisted.state == state
            assert assisted.seen * 3 < plain.seen
            assert assisted.low <= 0.5 <= assisted.high

    def test_no_change_at_all(self):
        verdict = decide(new_values(), 0.49, new_values())
        assert verdict.state == "holds"
        assert verdict.estimate == pytest.approx(0.5)
        assert verdict.assistance.churn == 0

    @pytest.mark.parametrize("kind", ["shuffled", "inverted", "constant", "random"])
    def test_a_useless_baseline_costs_at_most_half_again(self, kind):
        new, rng = new_values(), np.random.default_rng(2)
        seen = {"plain": [], kind: []}
        for seed in range(8):
            seen["plain"].append(decide(new, 0.46, seed=seed).seen)
            seen[kind].append(decide(new, 0.46, old_run(kind, new, rng), seed=seed).seen)
        assert np.mean(seen[kind]) <= 1.5 * np.mean(seen["plain"])

    def test_certain_answers_come_from_the_new_values(self):
        """Of ten, five are right: whatever the others are, and whatever the old run says, half are."""
        verdict = decide_mean(
            [1, 1, 1, 1, 1], 0.5, low=0, high=1, population=10, baseline=np.zeros(10), chunk=1
        )
        assert (verdict.state, verdict.seen, verdict.evidence_for) == ("holds", 5, np.inf)
        assert verdict.low >= 0.5 - 1e-6

    def test_all_seen_is_exact_and_unassisted(self):
        new = new_values(100)
        verdict = decide(new, 0.5, 1 - new, alpha=1e-9, alpha_refute=1e-9)
        assert (verdict.state, verdict.exact, verdict.assistance) == (
            "holds",
            True,
            None,
        ) or verdict.seen < 100

    def test_unknown_old_values(self):
        new = new_values()
        old = old_run("churn 1 %", new, np.random.default_rng(1))
        old[np.random.default_rng(2).random(N) < 0.3] = np.nan
        verdict = decide(new, 0.47, old)
        assert verdict.state == "holds"
        assert verdict.assistance.coverage == pytest.approx(0.7, abs=0.02)
        assert verdict.seen < decide(new, 0.47).seen
        nothing = decide(new, 0.4, np.full(N, np.nan))
        assert (nothing.state, nothing.assistance.coverage) == ("holds", 0)

    def test_on_any_range_and_with_a_grey_zone(self):
        new = new_values()
        old = old_run("churn 5 %", new, np.random.default_rng(1))
        order = np.random.default_rng(0).permutation(N)
        plain = decide(new, 0.49, old, tolerance=0.01)
        moved = decide_mean(
            new[order] * 6 - 2,
            0.49 * 6 - 2,
            low=-2,
            high=4,
            population=N,
            min_seen=0,
            baseline=old[order] * 6 - 2,
            tolerance=0.06,
        )
        assert (moved.state, moved.seen) == (plain.state, plain.seen) == ("holds", plain.seen)
        assert moved.estimate == pytest.approx(plain.estimate * 6 - 2)
        assert moved.assistance.sample_mean == pytest.approx(plain.assistance.sample_mean * 6 - 2)


class TestWhatIsPrinted:
    def test_the_assisted_estimate_beside_that_of_the_sample(self):
        """The sample drawn first is a poor one: its mean is on the wrong side, the assisted estimate is not."""
        rng = np.random.default_rng(0)
        order = np.concatenate([rng.permutation(np.r_[0:270, 500:830]), np.r_[270:500, 830:1000]])
        new = new_values(1_000)[order]
        verdict = decide_mean(new, 0.47, low=0, high=1, population=1_000, baseline=new, min_seen=0)
        assert verdict.state == "holds"
        assert verdict.estimate == pytest.approx(0.5)
        text = " ".join(" ".join(verdict.explain()).split())
        assert f"of the sample {new[: verdict.seen].mean():.4g}" in text
        assert "assisted by a baseline, churn 0 % so far" in text
        assert text.startswith("HOLDS: mean >= 0.47 assisted 0.5 (")
        assert all(len(line) <= 78 for line in verdict.explain())

    def test_an_estimate_is_possible(self):
        """Old values of 1, new ones of 0: 1 - 1 is 0, and what was seen allows no less."""
        verdict = decide_mean(
            [np.zeros(400)], 0.5, low=0, high=1, population=1_000, baseline=np.r_[0:1000] < 900
        )
        assert 0 <= verdict.low <= verdict.estimate <= verdict.high <= 0.6 + 1e-9


class TestRefused:
    @pytest.mark.parametrize(
        ("population", "baseline", "message"),
        [
            (None, [0, 1], "needs a population"),
            (3, [0, 1], r"for each of the population of 3.*got shape \(2,\)"),
            (2, [0, 1.5], r"baseline must lie in \[0, 1\], got 1.5"),
            (2, [[0], [1]], "got shape"),
            (2, [0, np.inf], "baseline must lie in"),
        ],
    )
    def test_a_baseline_that_does_not_fit(self, population, baseline, message):
        with pytest.raises(RobustcheckError, match=message):
            decide_mean([0, 1], 0.5, low=0, high=1, population=population, baseline=baseline)


class TestStakes:
    @settings(deadline=None, max_examples=30)
    @given(st.integers(1, 199), st.integers(0, 2**32 - 1))
    def test_they_never_look_at_old_values_to_come(self, seen, seed):
        """Two baselines that agree on what was read, and in their mean, have led to the same wealth."""
        rng = np.random.default_rng(seed)
        new, old = rng.integers(0, 2, 200).astype(float), rng.random(200)
        other = np.concatenate([old[:seen], rng.permutation(old[seen:])])
        spec = TestSpec(0.5, 0, 1, 200)
        one, two = MeanTest(spec, OldValues(old)), MeanTest(spec, OldValues(other))
        for test in (one, two):
            test.update(new[:seen])
        assert np.allclose(one.wealth.up, two.wealth.up)
        assert np.allclose(one.wealth.down, two.wealth.down)

    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
    def test_chunks_make_no_difference(self, sizes, seed):
        rng = np.random.default_rng(seed)
        n = sum(sizes) + 10
        new, old = rng.integers(0, 2, n).astype(float), rng.integers(0, 2, n).astype(float)
        spec = TestSpec(0.5, 0, 1, n)
        whole, parts = MeanTest(spec, OldValues(old)), MeanTest(spec, OldValues(old))
        whole.update(new[: sum(sizes)])
        for stop, size in zip(np.cumsum(sizes), sizes, strict=True):
            parts.update(new[stop - size : stop])
        assert parts.wealth.best_up == pytest.approx(whole.wealth.best_up)
        assert parts.wealth.best_down == pytest.approx(whole.wealth.best_down)


def test_old_values_that_know_the_order_void_the_bound():
    """Why the order must be drawn after the baseline is fixed: at a true 40 %, `>= 45 %` holds in 20 of 20 runs."""
    new = new_values(50_000, 0.4)
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(50_000)
        old = np.ones(50_000)
        old[order[:2_000]] = 0
        assert decide(new, 0.45, old, seed=seed, alpha_refute=1e-6).state == "holds"
        assert decide(new, 0.45, old, seed=seed + 1_000).state == "refuted"


RUNS, LENGTH, MEAN = 1_000, 1_000, 0.55


def most(runs, rate):
    """The most errors in so many runs that a rate explains, but for one seed in a thousand."""
    return int(binom.ppf(0.999, runs, rate))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_false_verdicts_at_the_boundary(kind):
    """At a mean of c neither `> c` nor `< c` is true: each is said of it with probability alpha at most."""
    rng = np.random.default_rng(30)
    new = new_values(LENGTH, MEAN)
    best = np.empty((RUNS, 2))
    for run in range(RUNS):
        old, order = old_run(kind, new, rng), rng.permutation(LENGTH)
        game = AssistedGame(TestSpec(MEAN, 0, 1, LENGTH).game, OldValues(old[order]))
        # The last value is certain from those before; a decision needs the wealth before that.
        wealth = game.after(game.start(), new[order][:-1], 0, 0.0, up=True, down=True)
        best[run] = wealth.best_up, wealth.best_down
    for alpha in (0.05, 0.01):
        errors = (best >= -np.log(alpha)).sum(axis=0)
        assert (errors <= most(RUNS, alpha)).all(), errors
    assert ((best >= -np.log(0.05)).sum(axis=0) >= 0.3 * 0.05 * RUNS).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["churn 5 %", "inverted", "random"])
def test_bounds_cover_wherever_it_stopped(kind):
    rng = np.random.default_rng(31)
    runs, below, above, new = 200, 0, 0, new_values(LENGTH, MEAN)
    for seed in range(runs):
        verdict = decide(new, 0.5, old_run(kind, new, rng), seed=seed)
        below += verdict.low > MEAN + 1e-6
        above += verdict.high < MEAN - 1e-6
    assert below <= most(runs, 0.05)
    assert above <= most(runs, 0.01)
