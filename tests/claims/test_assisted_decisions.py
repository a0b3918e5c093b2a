"""Claims of each kind, decided with the help of an earlier run's measures."""

from __future__ import annotations

import numpy as np
import pytest

from robustcheck.claims import parse_claim
from robustcheck.claims.decisions import decide_early
from robustcheck.claims.regression import no_regression_early
from robustcheck.errors import RobustcheckError

N = 20_000
SHARES = {"x": 0.76, "Adv_1": 0.25, "JPG(Adv_1)": 0.55}


def measured(claim, rng, churn):
    """Return new and old measures of each image, a column per term, in one random order: (N, terms) each."""
    order, columns = rng.permutation(N), []
    for _, view in claim.terms:
        new = (np.arange(N) < SHARES[str(view)] * N).astype(float)
        flips = rng.random(N) < churn
        columns.append((new[order], np.where(flips, 1 - new, new)[order]))
    return tuple(np.column_stack(side) for side in zip(*columns, strict=True))


def decide(text, *, old=True, churn=0.02, seed=0, **options):
    claim = parse_claim(text)
    new, before = measured(claim, np.random.default_rng(seed), churn)
    batches = (new[start : start + 64] for start in range(0, N, 64))
    return decide_early(claim, batches, N, old=before if old else None, **options)


@pytest.mark.parametrize(
    ("text", "state", "truth"),
    [
        ("accuracy(x) >= 0.74", "holds", 0.76),
        ("accuracy(x) >= 0.78", "refuted", 0.76),
        ("accuracy(Adv_1) <= 0.27", "holds", 0.25),
        ("accuracy(Adv_1) < 0.23", "refuted", 0.25),
        ("accuracy(JPG(Adv_1)) >= 0.7 * accuracy(x)", "holds", 0.018),
        ("accuracy(JPG(Adv_1)) >= accuracy(x) - 0.24", "holds", -0.21),
        ("recovery(JPG(Adv_1)) >= 0.54", "holds", 0.3 / 0.51),
        ("recovery(JPG(Adv_1)) <= 0.54", "refuted", 0.3 / 0.51),
    ],
)
def test_each_kind_needs_fewer_images(text, state, truth):
    plain, assisted = ([decide(text, old=old, seed=seed) for seed in range(4)] for old in (False, True))
    assert {verdict.state for verdict in (*plain, *assisted)} == {state}
    assert sum(verdict.seen for verdict in assisted) < sum(verdict.seen for verdict in plain)
    plain, assisted = plain[0], assisted[0]
    assert assisted.low <= truth <= assisted.high
    assert assisted.low <= assisted.estimate <= assisted.high
    assert assisted.estimate == pytest.approx(truth, abs=0.08 if "recovery" in text else 0.03)
    assert 0 < assisted.assistance.churn < 0.2
    assert plain.assistance is None


def test_the_guard_of_a_recovery_is_assisted_too():
    """An attack that takes 1.6 points: of them the guard needs to see 1, which takes longer than the claim itself."""
    claim = parse_claim("recovery(JPG(Adv_1)) >= 0.05")
    rng, order = np.random.default_rng(0), np.random.default_rng(1).permutation(N)
    shares = {"x": 0.76, "Adv_1": 0.744, "JPG(Adv_1)": 0.759}
    new = np.column_stack([np.arange(N) < shares[str(view)] * N for _, view in claim.terms]).astype(float)
    old = np.where(rng.random(new.shape) < 0.002, 1 - new, new)
    batches = [new[order][start : start + 64] for start in range(0, N, 64)]
    plain = decide_early(claim, batches, N)
    assisted = decide_early(claim, batches, N, old=old[order])
    assert plain.state == assisted.state == "holds"
    assert assisted.seen * 1.5 < plain.seen


def test_unknown_old_measures_and_none_at_all():
    claim = parse_claim("accuracy(x) >= 0.72")
    new, old = measured(claim, np.random.default_rng(0), 0.01)
    old[np.random.default_rng(1).random(N) < 0.4] = np.nan
    for before, coverage in ((old, 0.6), (np.full_like(old, np.nan), 0)):
        verdict = decide_early(claim, (new[at : at + 64] for at in range(0, N, 64)), N, old=before)
        assert verdict.state == "holds"
        assert verdict.low <= 0.76 <= verdict.high
        assert verdict.assistance.coverage == pytest.approx(coverage, abs=0.02)


def test_of_another_number_of_images():
    claim = parse_claim("accuracy(x) >= 0.5")
    with pytest.raises(RobustcheckError, match="for each of the population of 10"):
        decide_early(claim, [np.ones((10, 1))], 10, old=np.ones((9, 1)))


@pytest.mark.parametrize(("worse", "state"), [(0.0, "holds"), (0.04, "refuted")])
@pytest.mark.parametrize("share", [0.76, 0.02])
def test_a_regression(worse, state, share):
    """Also where a fall by the tolerance would leave less than none: then it is decided from the changes alone."""
    rng = np.random.default_rng(0)
    old = (rng.random(N) < share).astype(float)
    new = np.where(rng.random(N) < worse / share, 0.0, old) if share > worse else np.zeros(N)
    table = np.column_stack([new, old])
    batches = [table[start : start + 64] for start in range(0, N, 64)]
    tolerance = 0.02 if share > 0.02 else 0.03
    plain = no_regression_early(batches, N, tolerance=tolerance)
    assisted = no_regression_early(batches, N, tolerance=tolerance, baseline=old)
    expected = state if share > worse else "holds"
    assert plain.state == assisted.state == expected
    assert assisted.low <= (new - old).mean() <= assisted.high
    assert assisted.threshold == -tolerance
    assert assisted.parts[0][0] == "now"


def test_a_regression_of_which_all_was_seen_is_exact():
    old = np.array([1.0, 0.0] * 50)
    verdict = no_regression_early([np.column_stack([old, old])], 100, tolerance=0, baseline=old)
    assert (verdict.state, verdict.exact, verdict.estimate) == ("holds", True, pytest.approx(0))
