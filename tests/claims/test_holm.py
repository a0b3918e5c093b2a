"""Holm's correction over verdicts that were stopped, or were not."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck.claims import Verdict
from robustcheck.claims.holm import family_alpha, holm


def verdict(evidence, state="holds"):
    return Verdict(state, 300, 5_000, 0.5, 0.4, 0.6, evidence, 1.0)


def states(*verdicts, alpha=0.05):
    return [one.state for one in holm(verdicts, alpha=alpha)]


def test_step_down():
    assert states(verdict(61), verdict(41), verdict(21)) == ["holds"] * 3
    assert states(verdict(21), verdict(61), verdict(41)) == ["holds"] * 3
    assert states(verdict(59), verdict(41), verdict(21)) == ["not shown"] * 3
    assert states(verdict(61), verdict(39), verdict(21)) == ["holds", "not shown", "not shown"]
    assert states(verdict(61), verdict(41), verdict(19)) == ["holds", "holds", "not shown"]


def test_the_last_may_pass_by_the_others():
    assert states(verdict(100), verdict(21, "not shown")) == ["holds", "holds"]


def test_refuted_stays_and_counts():
    assert states(verdict(30), verdict(1, "refuted")) == ["not shown", "refuted"]
    assert states(verdict(41), verdict(1, "refuted")) == ["holds", "refuted"]


def test_exact_verdicts_stay_as_they_are():
    exact = dataclasses.replace(verdict(math.inf), exact=True)
    wrong = dataclasses.replace(verdict(0.0, "refuted"), exact=True)
    assert holm([exact, wrong]) == [exact, wrong]
    assert states(exact, verdict(21)) == ["holds", "holds"]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=12), st.sampled_from([0.05, 0.01]))
def test_between_bonferroni_and_each_alone(evidence, alpha):
    joint = holm([verdict(e, "holds" if e >= 1 / alpha else "not shown") for e in evidence], alpha=alpha)
    for one, e in zip(joint, evidence, strict=True):
        assert bool(one) or e < 1 / family_alpha(len(evidence), alpha) * (1 + 1e-9)
        assert not one or e >= 1 / alpha * (1 - 1e-9)
    assert {one.alpha for one in joint} == {alpha}


def test_one_claim_is_its_own_family():
    assert family_alpha(1) == 0.05
    assert family_alpha(5) == pytest.approx(0.01)
    assert states(verdict(21)) == ["holds"]
    assert "jointly with 1 claims (Holm)" in holm([verdict(21)])[0].notes
