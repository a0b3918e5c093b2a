"""The sequential test: what it decides, from how much, and where it stops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from robustcheck.claims import test_mean as decide_mean
from robustcheck.claims.sequential import MeanTest
from robustcheck.claims.test_spec import TestSpec
from robustcheck.errors import RobustcheckError


def shuffled(n, share, seed=0):
    """Return n 0/1 values with exactly that share of ones, in a random order."""
    return np.random.default_rng(seed).permutation((np.arange(n) < round(share * n)).astype(float))


def feed(spec, values, size=64):
    test = MeanTest(spec)
    for start in range(0, len(values), size):
        if test.done:
            break
        test.update(values[start : start + size])
    return test


class TestDecision:
    @pytest.mark.parametrize(
        ("share", "threshold", "state"), [(0.6, 0.5, "holds"), (0.5, 0.6, "refuted"), (0.5, 0.5, "holds")]
    )
    @pytest.mark.parametrize("population", [20, 100, 5_000])
    def test_of_a_finite_population(self, share, threshold, state, population):
        verdict = decide_mean(
            shuffled(population, share),
            threshold,
            low=0,
            high=1,
            population=population,
            alpha=1e-4,
            alpha_refute=1e-4,
        )
        assert verdict.state == state
        assert bool(verdict) is (state == "holds")
        assert verdict.low <= share <= verdict.high

    def test_one_image_short_is_refuted(self):
        values = shuffled(1_000, 0.499)
        verdict = decide_mean(values, 0.5, low=0, high=1, population=1_000, alpha=1e-9)
        assert (verdict.state, verdict.exact, verdict.seen) == ("refuted", True, 1_000)
        assert verdict.low == verdict.high == verdict.estimate == pytest.approx(0.499)

    def test_of_independent_draws(self):
        draws = (np.random.default_rng(1).random(100_000) < 0.55).astype(float)
        assert decide_mean(draws, 0.5, low=0, high=1).state == "holds"
        assert decide_mean(draws, 0.6, low=0, high=1).state == "refuted"
        verdict = decide_mean(draws[:300], 0.54, low=0, high=1)
        assert (verdict.state, verdict.seen) == ("not shown", 300)
        assert verdict.needed > 300

    def test_on_any_range(self):
        values = shuffled(5_000, 0.6)
        plain = decide_mean(values, 0.5, low=0, high=1, population=5_000)
        moved = decide_mean(values * 6 - 2, 0.5 * 6 - 2, low=-2, high=4, population=5_000)
        assert (moved.state, moved.seen) == (plain.state, plain.seen)
        assert moved.low == pytest.approx(plain.low * 6 - 2, abs=1e-5)
        assert moved.evidence_for == pytest.approx(plain.evidence_for)

    def test_not_before_the_floor(self):
        ones = np.ones(10_000)
        assert decide_mean(ones, 0.5, low=0, high=1).seen == 64
        assert decide_mean(ones, 0.5, low=0, high=1, min_seen=200).seen == 256
        assert decide_mean(ones, 0.5, low=0, high=1, chunk=1).seen < 20
        assert decide_mean(ones, 0.5, low=0, high=1, budget=100).state == "holds"

    def test_certain_before_the_end_of_a_small_population(self):
        verdict = decide_mean([1.0] * 60, 0.5, low=0, high=1, population=100, chunk=10, alpha=1e-99)
        assert (verdict.state, verdict.seen, verdict.evidence_for) == ("holds", 50, math.inf)
        verdict = decide_mean([0.0] * 60, 0.5, low=0, high=1, population=100, chunk=10, alpha_refute=1e-99)
        assert (verdict.state, verdict.seen, verdict.evidence_against) == ("refuted", 60, math.inf)

    def test_strict_differs_at_equality_alone(self):
        for n in (20, 1_000):
            values = shuffled(n, 0.5)
            states = [
                feed(TestSpec(0.5, 0, 1, n, alpha=1e-9, alpha_refute=1e-9, strict=strict), values).state
                for strict in (False, True)
            ]
            assert states == ["holds", "refuted"]

    def test_the_budget_ends_it(self):
        verdict = decide_mean(
            iter(shuffled(50_000, 0.5)), 0.5, low=0, high=1, population=50_000, budget=1_000
        )
        assert (verdict.state, verdict.seen) == ("not shown", 1_000)
        assert verdict.low < 0.5 < verdict.high
        assert 1_000 < verdict.needed <= 49_000

    def test_needed_is_about_right(self):
        taken = [
            decide_mean(shuffled(50_000, 0.55, seed), 0.5, low=0, high=1, population=50_000).seen
            for seed in range(40)
        ]
        told = MeanTest(TestSpec(0.5, 0, 1, 50_000))
        told.update([0.0, 1.0] * 45 + [1.0] * 10)
        assert told.needed() + 100 == pytest.approx(8.5 * 0.2475 / 0.05**2, rel=0.05)
        against = MeanTest(TestSpec(0.6, 0, 1))
        against.update([0.0, 1.0] * 45 + [1.0] * 10)
        assert against.needed() + 100 == pytest.approx(12.2 * 0.2475 / 0.05**2, rel=0.05)
        assert told.needed() + 100 == pytest.approx(np.mean(taken), rel=0.3)


class TestStream:
    def test_nothing_is_drawn_after_the_deciding_chunk(self):
        drawn = []

        def stream():
            for value in shuffled(50_000, 0.9):
                drawn.append(value)
                yield value

        verdict = decide_mean(stream(), 0.5, low=0, high=1, population=50_000)
        assert verdict.seen == len(drawn) == 64

    def test_nor_beyond_the_budget(self):
        drawn = []
        stream = (drawn.append(value) or value for value in shuffled(5_000, 0.5))
        verdict = decide_mean(stream, 0.5, low=0, high=1, population=5_000, budget=300)
        assert verdict.seen == len(drawn) == 300

    def test_of_a_chunk_no_more_counts_than_the_budget(self):
        values = shuffled(5_000, 0.5)
        whole, cut = (
            decide_mean([chunk], 0.5, low=0, high=1, population=5_000, budget=300)
            for chunk in (values, values[:300])
        )
        assert whole == cut
        assert whole.seen == 300

    @pytest.mark.parametrize("size", [1, 7, 64, 5_000])
    def test_chunks_or_numbers(self, size):
        values = shuffled(5_000, 0.5)
        chunks = [values[start : start + size] for start in range(0, 5_000, size)]
        verdict = decide_mean(chunks, 0.48, low=0, high=1, population=5_000, alpha=1e-6)
        one_by_one = decide_mean(values.tolist(), 0.48, low=0, high=1, population=5_000, alpha=1e-6, chunk=1)
        assert verdict.state == one_by_one.state == "holds"
        assert one_by_one.seen <= verdict.seen < one_by_one.seen + size

    def test_chunks_change_nothing_but_where_it_stops(self):
        values = shuffled(2_000, 0.5, seed=3)
        spec = TestSpec(0.5, 0, 1, 4_000, alpha=1e-9, alpha_refute=1e-9)
        logs = []
        for size in (1, 13, 64, 2_000):
            wealth = feed(spec, values, size).wealth
            logs.append([*wealth.up, *wealth.down, wealth.best_up, wealth.best_down])
        for other in logs[1:]:
            np.testing.assert_allclose(other, logs[0], rtol=1e-9, atol=1e-9)

    def test_no_values(self):
        verdict = decide_mean([], 0.5, low=0, high=1)
        assert (verdict.state, verdict.seen, verdict.low, verdict.high) == ("not shown", 0, 0, 1)
        assert "measured unknown (0 .. 1)" in repr(verdict)
        assert math.isnan(verdict.estimate)


class TestTolerance:
    def test_decides_sooner_and_either_way_inside(self):
        values = shuffled(50_000, 0.5)
        exact = decide_mean(values, 0.5, low=0, high=1, population=50_000)
        relaxed = decide_mean(values, 0.5, low=0, high=1, population=50_000, tolerance=0.05)
        assert relaxed.state == "holds"
        assert relaxed.seen < exact.seen / 10

    @pytest.mark.parametrize(("share", "state"), [(0.49, "holds"), (0.47, "refuted"), (0.48, "holds")])
    def test_the_whole_set_is_decided_at_its_lower_end(self, share, state):
        verdict = decide_mean(
            shuffled(1_000, share),
            0.5,
            low=0,
            high=1,
            population=1_000,
            tolerance=0.02,
            alpha=1e-9,
            alpha_refute=1e-9,
        )
        assert verdict.state == state

    def test_a_mean_below_the_zone_does_not_pass(self):
        states = {
            decide_mean(
                shuffled(2_000, 0.44, seed), 0.5, low=0, high=1, population=2_000, tolerance=0.02
            ).state
            for seed in range(20)
        }
        assert states == {"refuted"}


values_01 = st.lists(st.integers(0, 1), min_size=1, max_size=200)


class TestProperties:
    @settings(deadline=None)
    @given(values_01, st.integers(1, 19), st.randoms(use_true_random=False))
    def test_the_whole_set_is_exact_in_any_order(self, values, twentieths, random):
        threshold = twentieths / 20
        expected = "holds" if 20 * sum(values) >= twentieths * len(values) else "refuted"
        random.shuffle(values)
        test = MeanTest(TestSpec(threshold, 0, 1, len(values), alpha=1e-12, alpha_refute=1e-12))
        test.update(values)
        assert test.state == expected
        assert test.verdict().estimate == pytest.approx(sum(values) / len(values))

    @settings(deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=100), st.floats(0.05, 0.95))
    def test_more_is_never_worse(self, values, threshold):
        """Raising one value can't turn evidence for the claim into less."""
        low = MeanTest(TestSpec(threshold, 0, 1))
        low.update(values)
        high = MeanTest(TestSpec(threshold, 0, 1))
        high.update(np.minimum(1.0, np.array(values) + 0.1))
        assert high.verdict().evidence_for >= low.verdict().evidence_for * (1 - 1e-9)
        assert high.verdict().evidence_against <= low.verdict().evidence_against * (1 + 1e-9)

    @settings(deadline=None)
    @given(values_01, st.integers(2, 19), st.booleans())
    def test_a_lower_threshold_is_never_harder(self, values, twentieths, finite):
        assume(len(values) >= 2)
        population = len(values) * 2 if finite else None
        verdicts = []
        for threshold in (twentieths / 20, (twentieths - 1) / 20):
            test = MeanTest(TestSpec(threshold, 0, 1, population, min_seen=0))
            test.update(values)
            verdicts.append(test.verdict())
        high, low = verdicts
        assert low.evidence_for >= high.evidence_for * (1 - 1e-9)
        if high.state == "holds":
            assert low.state == "holds"

    @settings(deadline=None)
    @given(values_01, st.integers(1, 19))
    def test_turning_the_values_turns_the_verdict(self, values, twentieths):
        test, turned = (
            MeanTest(TestSpec(twentieths / 20, 0, 1)),
            MeanTest(TestSpec(1 - twentieths / 20, 0, 1)),
        )
        test.update(values)
        turned.update(1 - np.array(values))
        assert test.verdict().evidence_for == pytest.approx(turned.verdict().evidence_against)
        assert test.verdict().evidence_against == pytest.approx(turned.verdict().evidence_for)

    @settings(deadline=None)
    @given(values_01, st.booleans())
    @example([1] * 100 + [0] * 100, False)
    @example([0] * 100 + [1] * 100, True)
    def test_bounds_agree_with_the_decision(self, values, finite):
        population = len(values) * 3 if finite else None
        for threshold in (0.25, 0.5, 0.75):
            test = MeanTest(TestSpec(threshold, 0, 1, population, min_seen=0))
            test.update(values)
            verdict = test.verdict()
            assert 0 <= verdict.low <= verdict.high <= 1
            assert (test.state == "holds") <= (verdict.low >= threshold - 1e-6)
            assert (test.state == "refuted") <= (verdict.high <= threshold + 1e-6)
            if test.state == "not shown":
                assert verdict.low <= threshold + 1e-6
                assert verdict.high >= threshold - 1e-6


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"threshold": 0}, "between 0 and 1, got 0"),
            ({"threshold": 1}, "between 0 and 1, got 1"),
            ({"threshold": 1.5}, "between 0 and 1, got 1.5"),
            ({"threshold": math.nan}, "got nan"),
            ({"low": 1}, "low must be less than high"),
            ({"high": math.inf}, "low must be less than high"),
            ({"alpha": 0}, "alpha must be a probability"),
            ({"alpha_refute": 1}, "alpha_refute must be a probability"),
            ({"population": 0}, "population must be >= 1, got 0"),
            ({"budget": 0}, "budget must be >= 1, got 0"),
            ({"min_seen": -1}, "min_seen must be >= 0, got -1"),
            ({"tolerance": -0.1}, "tolerance must be >= 0"),
            ({"tolerance": 0.5}, "tolerance must be >= 0 and < 0.5, got 0.5"),
            ({"values": [0.5, 1.5]}, r"values must lie in \[0, 1\], got 1.5 as number 2"),
            ({"values": [0.5] * 64 + [-0.1]}, "got -0.1 as number 65"),
            ({"values": [0.5, math.nan]}, "got nan as number 2"),
            ({"values": [0.5] * 6, "population": 5}, "more numbers than the population of 5"),
        ],
    )
    def test_usage(self, options, message):
        options = {"values": [0.5], "threshold": 0.5, "low": 0, "high": 1} | options
        with pytest.raises(RobustcheckError, match=message):
            decide_mean(options.pop("values"), options.pop("threshold"), **options)

    def test_the_end_of_a_range_is_shown_by_the_whole_set_only(self):
        for share, state in ((1, "holds"), (0.99, "refuted")):
            assert feed(TestSpec(1, 0, 1, 1_000), shuffled(1_000, share)).state == state
        for share, state in ((0, "refuted"), (0.01, "holds")):
            assert feed(TestSpec(0, 0, 1, 1_000, strict=True), shuffled(1_000, share)).state == state
        with pytest.raises(RobustcheckError, match="can't be shown of a population"):
            TestSpec(1, 0, 1)


def test_it_is_no_pytest_test_where_it_is_imported(pytester):
    pytester.makepyfile("from robustcheck.claims import test_mean\ndef test_it(): assert test_mean")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
