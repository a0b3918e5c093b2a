"""Estimates as a test file holds them: sums, comparisons, explanations, refusals."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck.claims import Estimate, mean, recovery
from robustcheck.claims.expression import Linear
from robustcheck.errors import RobustcheckError

NAN = float("nan")


@pytest.fixture
def views(study):
    return study.accuracy("x"), study.accuracy("Adv_1"), study.accuracy("JPG(Adv_1)")


class TestExplanation:
    def test_one_measure_is_told_with_its_exact_interval(self, study):
        assert repr(study.accuracy("JPG(Adv_1)")) == "accuracy(JPG(Adv_1)) = 50.0 % (27.2 .. 72.8), n = 20"

    def test_a_composite_is_told_as_approximate(self, views):
        x, _, jpg = views
        assert (
            repr(jpg - 0.8 * x)
            == "accuracy(JPG(Adv_1)) - 0.8 * accuracy(x) = -22.0 % (about -43.5 .. 5.3), n = 20"
        )

    def test_recovery_is_told_with_its_interval(self, study):
        assert (
            repr(study.recovery("JPG(Adv_1)")) == "recovery(JPG(Adv_1)) = 42.9 % (about 5.1 .. 80.6), n = 20"
        )

    def test_printing_uses_what_was_seen_so_far(self, study):
        study.peek = lambda terms: study.sample(terms)[:5]
        study.accuracy("x")
        assert repr(study.accuracy("x")).endswith("n = 5")
        study.peek = lambda terms: None
        assert repr(study.accuracy("x")) == "accuracy(x): no image was evaluated yet"
        assert float(study.accuracy("x")) == 0.9

    def test_a_refused_recovery_still_prints(self, make_source):
        assert "took next to nothing" in repr(make_source(x=18, adv=17, jpg=17).recovery("JPG(Adv_1)"))


class TestNumbers:
    def test_float_low_high_range(self, views):
        x, adv, jpg = views
        assert float(jpg) == 0.5
        assert (round(jpg.low, 3), round(jpg.high, 3)) == (0.272, 0.728)
        assert jpg.interval.exact
        assert float(jpg - adv) == pytest.approx(0.3)
        assert not (jpg - adv).interval.exact
        assert (jpg - 0.8 * x).range == (-0.8, 1.0)
        assert (1 - jpg).range == (0.0, 1.0)

    def test_an_interval_is_exact_only_for_one_plain_binary_measure(self, make_source, study):
        jpg = study.accuracy("JPG(Adv_1)")
        probability = Estimate(make_source(measure="top_probability", x=3), mean("top_probability", "x"))
        for composite in (2 * jpg, jpg + 0.1, -jpg, probability):
            assert not composite.interval.exact
        assert (0.5 * jpg * 2).interval.exact

    def test_estimates_are_paired_by_image(self, make_source):
        source = make_source(n=100, x=50, jpg=50)
        assert (source.accuracy("x") - source.accuracy("JPG(Adv_1)")).high < 0.05

    @settings(deadline=None)
    @given(st.lists(st.floats(-3, 3).filter(lambda c: abs(c) > 1e-6), min_size=4, max_size=4))
    def test_linear_in_the_columns(self, weights):
        rng = np.random.default_rng(0)
        columns = {("accuracy", term[1]): rng.integers(0, 2, 30) for term in mean_terms()}
        source = Columns(columns)
        made = sum(
            (
                w * Estimate(source, mean("accuracy", view))
                for w, view in zip(weights, ("x", "Adv_1", "JPG"), strict=False)
            ),
            Estimate(source, Linear()),
        )
        made = made / 2 - weights[3]
        expected = sum(w * columns[t].mean() for w, t in zip(weights, columns, strict=False)) / 2 - weights[3]
        assert float(made) == pytest.approx(expected, abs=1e-9)
        low, high = made.range
        assert low - 1e-9 <= made.per_image().min() <= made.per_image().max() <= high + 1e-9

    def test_no_images(self, make_source):
        with pytest.raises(RobustcheckError, match="no images"):
            float(make_source(n=0, x=0).accuracy("x"))


def mean_terms():
    return [mean("accuracy", view).terms[0] for view in ("x", "Adv_1", "JPG")]


class Columns:
    def __init__(self, columns):
        self.columns = columns

    def sample(self, terms):
        return np.column_stack([self.columns[term] for term in terms])


class TestComparison:
    @pytest.mark.parametrize(
        ("relation", "holds"),
        [(operator.ge, True), (operator.gt, False), (operator.le, True), (operator.lt, False)],
    )
    def test_at_equality(self, study, relation, holds):
        jpg = study.accuracy("JPG(Adv_1)")
        assert bool(relation(jpg, 0.5)) is holds
        assert bool(relation(0.5, jpg)) is holds
        assert bool(relation(np.float64(0.5), jpg)) is holds

    @pytest.mark.parametrize("relation", [operator.ge, operator.gt, operator.le, operator.lt])
    @pytest.mark.parametrize("number", [0.4, 0.6])
    def test_agrees_with_the_numbers(self, study, relation, number):
        jpg, x = study.accuracy("JPG(Adv_1)"), study.accuracy("x")
        assert bool(relation(jpg, number)) is relation(0.5, number)
        assert bool(relation(number, jpg)) is relation(number, 0.5)
        assert bool(relation(jpg, number * x)) is relation(0.5, number * 0.9)

    def test_equality_survives_floating_point(self, make_source):
        source = make_source(n=10, x=3, adv=1, jpg=2)
        assert source.accuracy("x") >= 0.1 + 0.2
        assert source.accuracy("x") <= 0.1 + 0.2
        assert not source.accuracy("x") > 0.1 + 0.2
        assert source.accuracy("x") - source.accuracy("JPG(Adv_1)") >= source.accuracy("Adv_1")

    def test_each_comparison_is_one_claim(self, study):
        assert study.accuracy("JPG(Adv_1)") >= 0.5 * study.accuracy("x")
        assert [str(claim) for claim in study.asked] == ["accuracy(JPG(Adv_1)) >= 0.5 * accuracy(x)"]

    def test_recovery_in_all_directions(self, study):
        recovery = study.recovery("JPG(Adv_1)")
        assert float(recovery) == pytest.approx(6 / 14)
        assert recovery >= 0.42
        assert recovery <= 0.43
        assert recovery > 0.42
        assert recovery < 0.43
        assert 0.42 <= recovery <= 0.43
        assert not recovery >= 0.6
        assert recovery >= 6 / 14
        assert not recovery > 6 / 14


class TestRefusal:
    @pytest.mark.parametrize(
        ("misuse", "message"),
        [
            (lambda x, r: bool(x), "did you mean to compare it, as in `accuracy"),
            (lambda x, r: bool(r), "did you mean to compare it, as in `recovery"),
            (lambda x, r: x == 0.5, r"float\(accuracy\(x\)\) == pytest.approx"),
            (lambda x, r: x != x, "compares by >="),
            (lambda x, r: r == 0.5, "compares by >="),
            (lambda x, r: x * x, "product of two estimates"),
            (lambda x, r: x / x, "quotient of estimates"),
            (lambda x, r: 1 / x, "quotient by an estimate"),
            (lambda x, r: x >= "0.5", "compares with numbers and estimates"),
            (lambda x, r: x >= True, "compares with numbers and estimates"),
            (lambda x, r: x + r, "can't be added"),
            (lambda x, r: r - x, "no part of a sum"),
            (lambda x, r: 2 * r, "no part of a sum"),
            (lambda x, r: x + "a", "unsupported operand"),
            (lambda x, r: {x: 1}, "unhashable"),
            (lambda x, r: np.ones(2) * x, "unsupported operand"),
            (lambda x, r: np.ones(2) <= x, "compares with numbers and estimates"),
        ],
    )
    def test_type_error(self, study, misuse, message):
        with pytest.raises(TypeError, match=message):
            misuse(study.accuracy("x"), study.recovery("JPG(Adv_1)"))

    @pytest.mark.parametrize(
        ("misuse", "message"),
        [
            (lambda x, r: x >= 0, "true of every model: what it compares lies between 0 and 1"),
            (lambda x, r: x <= 1, "true of every model"),
            (lambda x, r: x < 0, "false of every model"),
            (lambda x, r: x > 1, "false of every model"),
            (lambda x, r: x >= 1.01, "false of every model"),
            (lambda x, r: x - x >= 0, "compares no measure"),
            (lambda x, r: x >= NAN, "finite"),
            (lambda x, r: x * float("inf"), "finite"),
            (lambda x, r: x / 0, "divided by 0"),
            (lambda x, r: r >= x, "compares with a number only"),
            (lambda x, r: x <= r, "compares with a number only"),
            (lambda x, r: r >= r, "compares with a number only"),
        ],
    )
    def test_claim_that_is_none(self, study, misuse, message):
        with pytest.raises(RobustcheckError, match=message):
            misuse(study.accuracy("x"), study.recovery("JPG(Adv_1)"))

    def test_the_ends_of_the_range_can_be_claimed(self, make_source):
        source = make_source(x=20, adv=0)
        assert source.accuracy("x") >= 1
        assert source.accuracy("Adv_1") <= 0
        assert not source.accuracy("Adv_1") > 0
        assert not source.accuracy("x") < 1

    def test_kept_of_the_clean_view_is_constant(self, study):
        with pytest.raises(RobustcheckError, match="is always 1"):
            Estimate(study, mean("kept", "x")) >= 0.9  # noqa: B015 the comparison raises

    def test_two_sources(self, study, make_source):
        other = make_source(x=3).accuracy("x")
        with pytest.raises(RobustcheckError, match="two evaluations"):
            study.accuracy("x") >= other  # noqa: B015
        with pytest.raises(RobustcheckError, match="two evaluations"):
            study.accuracy("x") - other

    def test_unknown_measure(self):
        with pytest.raises(RobustcheckError, match="did you mean 'accuracy'"):
            mean("acuracy", "x")

    @pytest.mark.parametrize(("view", "message"), [("JPG", "no attack"), ("Adv_1", "the attack itself")])
    def test_recovery_needs_something_made_from_an_attack(self, view, message):
        with pytest.raises(RobustcheckError, match=message):
            recovery(view)

    @pytest.mark.parametrize("value", [np.nan, -0.1, 1.1, np.inf])
    def test_what_no_measure_gives(self, study, value):
        study.columns[mean_terms()[0]][3] = value
        with pytest.raises(RobustcheckError, match=r"accuracy\(x\) must lie in \[0, 1\], got .* for image 3"):
            float(study.accuracy("x"))

    def test_a_softmax_a_hair_above_one(self, make_source):
        source = make_source(measure="top_probability", x=20)
        source.columns[mean("top_probability", "x").terms[0]][0] = 1 + 1e-7
        assert float(Estimate(source, mean("top_probability", "x"))) == 1


class TestGuard:
    @pytest.mark.parametrize(
        ("n", "x", "adv", "refused"),
        [
            (20, 18, 14, True),  # four lost, none won: chance 1/16
            (20, 18, 13, False),  # five: 1/32
            (20, 10, 10, True),
            (20, 4, 18, True),  # the attack made it better
            (50_000, 38_000, 37_950, True),  # certain, and a tenth of a point
            (50_000, 38_000, 37_500, False),  # one point
            (50_000, 38_000, 37_501, True),
        ],
    )
    def test_what_the_attack_must_take(self, make_source, n, x, adv, refused):
        recovery = make_source(n=n, x=x, adv=adv, jpg=adv).recovery("JPG(Adv_1)")
        if refused:
            for use in (float, lambda r: r >= 0.5, lambda r: r < 0.5, lambda r: r.low):
                with pytest.raises(RobustcheckError, match="the attack took next to nothing"):
                    use(recovery)
        else:
            assert float(recovery) == 0
            assert not recovery >= 0.5

    def test_chance_counts_the_images_won_back(self, make_source):
        source = make_source(n=50, x=30, adv=30, jpg=30)
        adv = source.columns[mean("accuracy", "Adv_1").terms[0]]
        adv[:10] = 0
        adv[30:36] = 1
        with pytest.raises(RobustcheckError, match=r"10 of 50 images lost, 6 won \(chance 0.23"):
            float(source.recovery("JPG(Adv_1)"))
        adv[30:36] = 0
        assert float(source.recovery("JPG(Adv_1)")) == 1

    def test_the_refusal_gives_the_numbers_and_what_to_do(self, make_source):
        with pytest.raises(RobustcheckError) as error:
            float(make_source(x=18, adv=16, jpg=17).recovery("JPG(Adv_1)"))
        assert str(error.value) == (
            "recovery(JPG(Adv_1)) is refused: the attack took next to nothing, so there is nothing to recover: "
            "accuracy(x) 90.0 %, accuracy(Adv_1) 80.0 %; 2 of 20 images lost, 0 won (chance 0.25, at most 0.05 "
            "allowed; at least 1 % must be taken). Use more images or a stronger attack, or claim the accuracy itself"
        )
