"""Forecasts beside what the shipped tests take."""

from functools import partial

import numpy as np
import pytest

from robustcheck.claims import parse_claim
from robustcheck.claims.decisions import ClaimTest, decide_early
from robustcheck.claims.forecast import OldMeasures, Question, churn, forecast
from robustcheck.claims.regression import RegressionTest, no_regression_early

N, BATCH = 2_000, 16


def question(text, table, *, population=N, **options):
    claim = parse_claim(text)

    def start(old):
        return ClaimTest(claim, population, old=old, **options)

    extremes = np.array([[0.0] * len(claim.terms), [1.0] * len(claim.terms)])
    return Question(None, text, claim.terms, np.asarray(table, dtype=float), extremes, start)


def right(share, n=N):
    return (np.arange(n) < round(share * n)).astype(float)[:, None]


def flipped(values, share, rng):
    """The same values, of which a share is the contrary, as often each way."""
    changed = values.copy()
    for value in (0, 1):
        rows = np.flatnonzero(values[:, 0] == value)
        changed[rng.choice(rows, round(share / 2 * len(values)), replace=False)] = 1 - value
    return changed


def actual(text, values, rng, old=None, runs=20):
    claim, needed = parse_claim(text), []
    for _ in range(runs):
        order = rng.permutation(len(values))
        batches = (values[order[start : start + BATCH]] for start in range(0, len(values), BATCH))
        before = None if old is None else old[order]
        needed.append(decide_early(claim, batches, len(values), old=before).seen)
    return np.array(needed)


@pytest.mark.parametrize("margin", [0.15, 0.10])
def test_of_a_baseline_the_median_and_the_quantile_are_those_of_runs(margin):
    rng, values, text = np.random.default_rng(0), right(0.6 + margin), "accuracy(x) >= 0.6"
    needed = actual(text, values, rng, runs=40)
    asked = question(text, values[:64])
    found = forecast(asked, N, batch=BATCH, old=OldMeasures(values, values[:64], assists=False))
    assert np.quantile(needed, 0.3) <= found.median <= np.quantile(needed, 0.7)
    assert np.quantile(needed, 0.75) <= found.high <= 1.2 * needed.max()
    assert found.undecided == 0


def test_of_a_pilot_nine_of_ten_runs_take_no_more_than_the_quantile():
    rng, values, text = np.random.default_rng(1), right(0.75), "accuracy(x) >= 0.6"
    needed = actual(text, values, rng)
    highs = [
        forecast(question(text, rng.permutation(values)[:64]), N, batch=BATCH, seed=seed, simulations=30).high
        for seed in range(10)
    ]
    covered = np.mean(needed[:, None] <= np.array(highs)[None])
    assert covered >= 0.8


def test_a_pilot_without_a_failure_is_not_taken_for_certain():
    text = "accuracy(x) >= 0.97"
    found = forecast(question(text, np.ones((64, 1))), N, batch=BATCH)
    assert found.high > 1.5 * found.median > 0


def test_an_assisted_claim_is_forecast_by_the_change_of_the_pilot():
    rng, values, text = np.random.default_rng(2), right(0.66), "accuracy(x) >= 0.6"
    known = OldMeasures(values, values[:64], assists=False)
    plain = forecast(question(text, values[:64]), N, batch=BATCH, old=known, simulations=30)
    medians = []
    for share in (0.0, 0.1, 0.4):
        old = flipped(values, share, rng)
        rows = rng.permutation(N)[:64]
        asked, measures = question(text, values[rows]), OldMeasures(old, old[rows], assists=True)
        changed, of = churn(asked, measures)
        assert (changed, of) == (int((values[rows] != old[rows]).sum()), 64)
        found = forecast(asked, N, batch=BATCH, old=measures, simulations=30)
        needed = actual(text, values, rng, old=old, runs=10)
        assert needed.min() <= found.median <= needed.max()
        medians.append(found.median)
    assert medians[0] < medians[1] < medians[2]
    assert medians[1] < plain.median


def test_missing_old_values_and_values_that_never_differ():
    values = right(0.9)
    old = values.copy()
    old[::4] = np.nan
    measures = OldMeasures(old, old[:64], assists=True)
    asked = question("accuracy(x) >= 0.6", values[:64])
    assert churn(asked, measures) == (0, 48)
    assert 0 < forecast(asked, N, batch=BATCH, old=measures).median < 200
    same = OldMeasures(np.ones((N, 1)), np.ones((64, 1)), assists=True)
    assert forecast(question("accuracy(x) >= 0.6", np.ones((64, 1))), N, batch=BATCH, old=same).median < 100


def test_a_claim_at_its_threshold_takes_all_images_or_the_budget():
    values = right(0.6)
    old = OldMeasures(values, values[:64], assists=False)
    whole = forecast(question("accuracy(x) >= 0.6", values[:64]), N, batch=BATCH, old=old)
    assert whole.undecided >= 0.8
    assert (whole.median, whole.high) == (N, N)
    budget = forecast(question("accuracy(x) >= 0.6", values[:64], budget=100), N, batch=BATCH, old=old)
    assert budget.undecided >= 0.8
    assert budget.high == 100


def test_recoveries_populations_and_small_sets():
    rng = np.random.default_rng(3)
    x, adv = rng.random((64, 1)) < 0.9, rng.random((64, 1)) < 0.2
    table = np.hstack([adv | (rng.random((64, 1)) < 0.6), adv, x])
    found = forecast(question("recovery(JPG(Adv_1)) >= 0.2", table), N, batch=BATCH)
    assert 0 < found.median <= found.high <= N
    asked = question("accuracy(x) >= 0.89", right(0.9, 64), about="population")
    assert forecast(asked, N, batch=BATCH).undecided > 0.2
    few = forecast(question("accuracy(x) >= 0.5", right(0.9, 10), population=10), 10, batch=BATCH)
    assert few.median == few.high == 10


def test_a_regression():
    rng, new = np.random.default_rng(4), right(0.8)
    old = flipped(new, 0.04, rng)
    start = partial(RegressionTest, 0.05, N)
    rows = rng.permutation(N)[:64]
    pairs = np.hstack([new, old])
    term = parse_claim("accuracy(x) >= 0.5").terms
    extremes = np.array([[0.0, 1.0], [1.0, 0.0]])
    asked = Question(None, "", term, pairs[rows], extremes, start, is_paired=True)
    helped = Question(None, "", term, pairs[rows], extremes, lambda known: start(known[:, 0]), is_paired=True)
    alone = forecast(asked, N, batch=BATCH)
    assisted = forecast(helped, N, batch=BATCH, old=OldMeasures(old, old[rows], assists=True))
    needed = []
    for _ in range(20):
        order = rng.permutation(N)
        draws = (pairs[order[at : at + BATCH]] for at in range(0, N, BATCH))
        found = no_regression_early(draws, N, tolerance=0.05, baseline=old[order][:, 0])
        needed.append(found.seen)
    assert min(needed) <= assisted.median <= max(needed)
    assert 0 < alone.median <= alone.high
