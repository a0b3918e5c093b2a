"""What the person at the CI log reads, word for word."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck.claims import Verdict, parse_claim
from robustcheck.claims.decisions import decide_early, decide_exact
from robustcheck.claims.regression import no_regression
from robustcheck.claims.sequential import MeanTest
from robustcheck.claims.test_spec import TestSpec

TO_DO = [
    "  To do: find what changed since it last held (model, weights, images, codec);",
    "  change the number only if that is meant.",
]
VERDICT = Verdict("holds", 20, 20, 0.5, 0.5, 0.5, math.inf, 0.0, threshold=0.4, exact=True, percent=True)


def nested(n, *counts):
    return np.column_stack([np.arange(n) < count for count in counts]).astype(float)


def test_holds():
    verdict = decide_exact(parse_claim("accuracy(JPG(Adv_1)) >= 45%"), nested(20, 10))
    assert verdict.explain() == [
        "HOLDS: accuracy(JPG(Adv_1)) >= 0.45",
        "  measured 50.0 %, required >= 45.0 %: 5.0 points to spare",
        "  all 20 images: exact for these images and seeds",
    ]
    assert repr(verdict) == (
        "<holds: accuracy(JPG(Adv_1)) >= 0.45; measured 50.0 %, required >= 45.0 %: 5.0 points to spare; all 20 images>"
    )


def test_refuted_by_two_estimates():
    verdict = decide_exact(parse_claim("accuracy(JPG(Adv_1)) >= 0.8 * accuracy(x)"), nested(20, 10, 18))
    assert verdict.explain() == [
        "REFUTED: accuracy(JPG(Adv_1)) >= 0.8 * accuracy(x)",
        "  measured 50.0 %, required >= 72.0 %: 22.0 points short",
        "  with accuracy(JPG(Adv_1)) 50.0 %, accuracy(x) 90.0 %",
        "  all 20 images: exact for these images and seeds",
        *TO_DO,
    ]


def test_refuted_recovery():
    claim = parse_claim("recovery(JPG(Adv_1)) >= 60%")
    assert decide_exact(claim, nested(20, 10, 4, 18)).explain() == [
        "REFUTED: recovery(JPG(Adv_1)) >= 0.6",
        "  measured 42.9 %, required >= 60.0 %: 17.1 points short",
        "  with accuracy(JPG(Adv_1)) 50.0 %, accuracy(Adv_1) 20.0 %, accuracy(x) 90.0 %",
        "  all 20 images: exact for these images and seeds",
        *TO_DO,
    ]


def test_downward():
    verdict = decide_exact(parse_claim("1 - accuracy(Adv_1) <= 70%"), nested(20, 4))
    assert verdict.explain()[:2] == [
        "REFUTED: -accuracy(Adv_1) + 1 <= 0.7",
        "  measured 80.0 %, required <= 70.0 %: 10.0 points short",
    ]


def test_a_difference_with_constants_on_both_sides():
    table = np.random.default_rng(0).permutation(nested(5_000, 2_750, 3_800))
    verdict = decide_early(parse_claim("accuracy(JPG(Adv_1)) >= accuracy(x) - 0.05"), [table[:512]], 5_000)
    measured, required = verdict.sides
    low, high = (100 * (end - verdict.threshold) for end in (verdict.low, verdict.high))
    assert f"difference {100 * (measured - required):.1f} ({low:.1f} .. {high:.1f})" in " ".join(
        verdict.explain()
    )
    assert measured - required == pytest.approx(verdict.estimate - verdict.threshold)


def test_equality():
    table = nested(20, 10)
    assert "measured 50.0 %, required > 50.0 %: equal" in repr(
        decide_exact(parse_claim("accuracy(x) > 0.5"), table)
    )


def test_inside_the_tolerance():
    verdict = decide_exact(parse_claim("accuracy(x) >= 0.52"), nested(20, 10), tolerance=0.05)
    assert (
        verdict.explain()[1]
        == "  measured 50.0 %, required >= 52.0 %: 2.0 points short, within the tolerance"
    )


def test_stopped_early():
    table = np.random.default_rng(0).permutation(nested(5_000, 2_750, 3_800))
    claim = parse_claim("accuracy(JPG(Adv_1)) >= 0.85 * accuracy(x)")
    verdict = decide_early(claim, [table[at : at + 64] for at in range(0, 5_000, 64)], 5_000)
    lines = verdict.explain()
    assert lines[0] == "REFUTED: accuracy(JPG(Adv_1)) >= 0.85 * accuracy(x)"
    assert lines[1].startswith("  measured ")
    text = " ".join(line.strip() for line in lines[1:3])
    assert re.search(
        rf"difference \S+ \({100 * verdict.low:.1f} .. {100 * verdict.high:.1f}\): \S+ points short", text
    )
    assert f"  n = {verdict.seen} of 5000: stopped there, error at most 1 %" in lines
    assert lines[-2:] == TO_DO


def test_not_shown():
    table = np.random.default_rng(0).permutation(nested(5_000, 2_750))
    verdict = decide_early(parse_claim("accuracy(x) >= 0.54"), [table], 5_000, budget=1_000)
    assert verdict.explain() == [
        "NOT SHOWN: accuracy(x) >= 0.54",
        "  measured 53.60 % (50.54 .. 58.40), required >= 54.00 %: 0.40 points short",
        "  n = 1000 of 5000; evidence 1.9 for (20 needed), 2.3 against (100)",
        "  To do: About 3900 more images or a larger budget can decide it. Rerunning",
        "  with other seeds until green voids the guarantee.",
    ]


def test_about_new_images():
    verdict = dataclasses.replace(
        VERDICT, exact=False, about="population", evidence_for=30, low=0.45, high=0.6
    )
    assert verdict.explain()[2] == "  all 20 images: for new images too, error at most 5 %"
    open_ = dataclasses.replace(verdict, state="not shown")
    assert open_.explain()[-2].startswith("  To do: More images can decide it. Rerunning")


def test_certain_before_the_end():
    test = MeanTest(TestSpec(0.5, 0, 1, 1_000))
    test.update(np.zeros(600))
    assert test.verdict().explain()[:3] == [
        "REFUTED: mean >= 0.5",
        "  measured 0 (0 .. 0.007747), required >= 0.5: 0.5 short",
        "  n = 600 of 1000: exact, the images left can't change it",
    ]


def test_regression():
    verdict = no_regression([1, 0, 0, 0], [1, 1, 1, 0], tolerance=0.01, name="accuracy(x)")
    assert verdict.explain()[:4] == [
        "REFUTED: accuracy(x) - accuracy(x) of the baseline >= -0.01",
        "  measured -50.0 %, required >= -1.0 %: 49.0 points short",
        "  with now 25.0 %, baseline 75.0 %",
        "  all 4 images: exact for these images and seeds",
    ]


@pytest.mark.parametrize(
    ("gap", "shown"),
    [(0.1, "10.0 points"), (0.001, "0.10 points"), (0.00002, "0.0020 points"), (1e-12, "equal")],
)
def test_digits_enough_to_tell_the_sides_apart(gap, shown):
    verdict = dataclasses.replace(VERDICT, estimate=0.4 + gap)
    assert shown in repr(verdict)
    measured, required = repr(verdict).split("measured ")[1].split(":")[0].split(", required >= ")
    assert (measured != required) == (gap > 1e-9)


states = st.sampled_from(["holds", "refuted", "not shown"])
shares = st.floats(-1, 1)


@settings(deadline=None)
@given(
    states,
    st.tuples(shares, shares, shares, shares),
    st.text("acx()_JPG1 +*", max_size=200),
    st.lists(st.text("ab ", max_size=90), max_size=3),
    st.booleans(),
    st.integers(1, 10**7) | st.none(),
)
def test_never_more_than_eight_lines_of_78_columns(state, numbers, claim, notes, exact, needed):
    estimate, low, high, threshold = numbers
    verdict = Verdict(
        state,
        seen=300,
        population=50_000,
        estimate=estimate,
        low=low,
        high=high,
        evidence_for=1e9,
        evidence_against=0.001,
        needed=needed,
        threshold=threshold,
        exact=exact,
        claim=f"c {claim}",
        sides=(estimate + 0.5, 0.5),
        parts=tuple((f"accuracy(JPG_{at}(Adv_{at}))", 0.5) for at in range(1, 9)),
        percent=True,
        notes=tuple(notes),
    )
    lines = verdict.explain()
    assert 3 <= len(lines) <= 8
    assert all(len(line) <= 78 for line in lines)
    assert lines[0].startswith(state.upper())
    assert ("voids the guarantee." in lines[-1]) == (state == "not shown")
    assert "\n" not in repr(verdict)
