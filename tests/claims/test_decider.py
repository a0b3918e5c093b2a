"""Claims decided from the whole set and from a part of it; recovery and its guard on the way."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck.claims import ClaimSettings, Decider, DecisionPolicy, parse_claim
from robustcheck.claims.decisions import decide_early, decide_exact
from robustcheck.errors import RobustcheckError

VIEWS = {"x": 0, "Adv_1": 1, "JPG(Adv_1)": 2}
CLAIMS = [
    "accuracy(JPG(Adv_1)) >= 0.5",
    "accuracy(JPG(Adv_1)) > 0.6 * accuracy(x)",
    "accuracy(JPG(Adv_1)) <= 0.8 * accuracy(x)",
    "accuracy(x) - accuracy(JPG(Adv_1)) < 0.3",
    "recovery(JPG(Adv_1)) >= 40%",
    "recovery(JPG(Adv_1)) < 70%",
    "accuracy(JPG(Adv_1)) >= 0.65",
    "accuracy(JPG(Adv_1)) < 0.75 * accuracy(Adv_1)",
    "recovery(JPG(Adv_1)) >= 75%",
    "recovery(JPG(Adv_1)) <= 40%",
]


def outcomes(n, x=0.76, adv=0.25, jpg=0.55):
    position = (np.arange(n) + 0.5) / n
    return np.column_stack([position < share for share in (x, adv, jpg)]).astype(float)


def columns(claim, table):
    return table[:, [VIEWS[str(view)] for _, view in claim.terms]]


def draws(claim, table, seed=0, size=64, log=None):
    table = np.random.default_rng(seed).permutation(columns(claim, table))
    for start in range(0, len(table), size):
        if log is not None:
            log.append(start)
        yield table[start : start + size]


class TestEarly:
    @pytest.mark.parametrize("text", CLAIMS)
    @pytest.mark.parametrize("about", ["testset", "population"])
    def test_agrees_with_the_whole_set_from_a_part(self, text, about):
        claim, table, log = parse_claim(text), outcomes(20_000), []
        whole = decide_exact(claim, columns(claim, table))
        part = decide_early(claim, draws(claim, table, log=log), len(table), about=about, alpha=0.001)
        assert part.state == whole.state
        assert part.seen < 5_000
        assert part.seen == log[-1] + 64
        assert (part.population, part.about, part.exact) == (20_000, about, False)
        assert part.low <= whole.estimate <= part.high
        assert (part.claim, part.relation, part.threshold) == (whole.claim, whole.relation, whole.threshold)

    @pytest.mark.parametrize("text", CLAIMS)
    def test_the_bound_is_on_the_claims_side(self, text):
        claim, table = parse_claim(text), outcomes(20_000)
        verdict = decide_early(claim, draws(claim, table), len(table))
        above = verdict.low >= verdict.threshold - 1e-5
        below = verdict.high <= verdict.threshold + 1e-5
        assert (above, below) == ((True, False) if bool(verdict) == claim.upward else (False, True))
        assert verdict.low < verdict.estimate < verdict.high

    @pytest.mark.parametrize(
        "text", ["recovery(JPG(Adv_1)) {} 50%", "accuracy(JPG(Adv_1)) {} 0.6 * accuracy(x)"]
    )
    def test_each_bound_has_the_error_of_its_side(self, text):
        table, widths = outcomes(20_000), []
        for relation in (">=", "<="):
            claim = parse_claim(text.format(relation))
            verdict = decide_early(
                claim, draws(claim, table), 20_000, alpha=0.2, alpha_refute=1e-6, budget=1_000, min_seen=1_000
            )
            widths.append((verdict.estimate - verdict.low, verdict.high - verdict.estimate))
        (below, above), (below_turned, above_turned) = widths
        assert below < above
        assert below_turned > above_turned

    @pytest.mark.parametrize("text", CLAIMS)
    @pytest.mark.parametrize("n", [20, 200])
    def test_run_to_the_end_it_is_the_whole_set(self, text, n):
        claim, table = parse_claim(text), outcomes(n)
        whole = decide_exact(claim, columns(claim, table), alpha=1e-9)
        part = decide_early(claim, draws(claim, table), n, alpha=1e-9, alpha_refute=1e-9)
        assert part.state == whole.state
        if part.seen == n:
            assert part.explain() == whole.explain()
            assert part.estimate == pytest.approx(whole.estimate)

    @given(st.integers(0, 1_000))
    @settings(max_examples=20, deadline=None)
    def test_any_order_gives_the_exact_verdict_in_the_end(self, seed):
        claim, table = parse_claim("accuracy(JPG(Adv_1)) >= 0.55"), outcomes(100)
        assert decide_early(claim, draws(claim, table, seed), 100, alpha=1e-9).state == "holds"

    def test_a_budget_leaves_it_open(self):
        claim, table = parse_claim("accuracy(JPG(Adv_1)) >= 0.55"), outcomes(5_000)
        verdict = decide_early(claim, draws(claim, table), 5_000, budget=300)
        assert (verdict.state, verdict.seen, verdict.population) == ("not shown", 300, 5_000)
        assert verdict.needed > 300
        assert not verdict

    def test_a_population_may_leave_it_open_at_the_end(self):
        claim, table = parse_claim("accuracy(JPG(Adv_1)) >= 0.55"), outcomes(400)
        verdict = decide_early(claim, draws(claim, table), 400, about="population")
        assert (verdict.state, verdict.seen, verdict.exact) == ("not shown", 400, False)

    def test_a_tolerance_ends_it_sooner(self):
        claim, table = parse_claim("accuracy(JPG(Adv_1)) >= 0.55"), outcomes(20_000)
        verdict = decide_early(claim, draws(claim, table), 20_000, tolerance=0.05)
        assert verdict.state == "holds"
        assert verdict.seen < 3_000

    def test_more_images_than_the_set_has(self):
        claim = parse_claim("accuracy(x) >= 0.76")
        with pytest.raises(RobustcheckError, match="more numbers than the population of 100"):
            decide_early(claim, draws(claim, outcomes(200)), 100, alpha=1e-9, alpha_refute=1e-9)
        with pytest.raises(RobustcheckError, match="drew 128 images of a set of 100"):
            decide_early(claim, draws(claim, outcomes(200)), 100, about="population")

    def test_no_images(self):
        claim = parse_claim("accuracy(x) >= 0.76")
        with pytest.raises(RobustcheckError, match="no images"):
            decide_early(claim, [], 100)
        with pytest.raises(RobustcheckError, match="no images"):
            decide_exact(claim, np.empty((0, 1)))


class TestRecoveryGuard:
    def test_refused_once_it_is_shown_that_little_was_taken(self):
        claim = parse_claim("recovery(JPG(Adv_1)) >= 0.5")
        table, log = outcomes(20_000, x=0.76, adv=0.7599, jpg=0.758), []
        with pytest.raises(RobustcheckError, match="took next to nothing"):
            decide_early(claim, draws(claim, table, log=log), len(table))
        assert log[-1] < 15_000

    def test_refused_at_the_end_of_a_small_set(self):
        claim, table = parse_claim("recovery(JPG(Adv_1)) >= 0.5"), outcomes(20, adv=0.6)
        for decide in (
            lambda: decide_exact(claim, columns(claim, table)),
            lambda: decide_early(claim, draws(claim, table), 20),
        ):
            with pytest.raises(RobustcheckError, match="took next to nothing"):
                decide()

    def test_not_shown_while_what_was_taken_is_open(self):
        claim, table = parse_claim("recovery(JPG(Adv_1)) >= -50%"), outcomes(20_000, adv=0.735, jpg=0.76)
        verdict = decide_early(claim, draws(claim, table), len(table), budget=600)
        assert verdict.state == "not shown"
        assert "what the attack took is not yet shown to be above 1 points" in verdict.notes
        assert decide_early(claim, draws(claim, table), len(table)).state == "holds"


class TestExact:
    def test_a_tolerance_lets_a_near_miss_pass(self):
        claim, table = parse_claim("accuracy(JPG(Adv_1)) >= 0.56"), outcomes(1_000)
        table = columns(claim, table)
        assert decide_exact(claim, table).state == "refuted"
        assert decide_exact(claim, table, tolerance=0.01).state == "holds"
        assert decide_exact(claim, table, tolerance=0.009).state == "refuted"

    def test_equality_at_any_size(self):
        for n, tenths in itertools.product((10, 1_000, 50_000), range(1, 10)):
            right = (np.arange(n) < n * tenths // 10).astype(float)[:, None]
            assert decide_exact(parse_claim(f"accuracy(x) >= {tenths * 10}%"), right)
            assert decide_exact(parse_claim(f"accuracy(x) <= {tenths * 10}%"), right)
            assert not decide_exact(parse_claim(f"accuracy(x) > {tenths * 10}%"), right)
            assert not decide_exact(parse_claim(f"accuracy(x) < {tenths * 10}%"), right)

    def test_the_end_of_the_range_survives_floating_point(self):
        claim = parse_claim("0.1 * kept(JPG) + 0.7 * kept(Adv_1) >= 0.8")
        assert claim.form.range[1] < 0
        assert decide_exact(claim, np.ones((20, 2)))
        assert not decide_exact(claim, np.append(np.ones((19, 2)), [[1, 0]], axis=0))

    def test_one_image_in_fifty_thousand_counts(self):
        right = (np.arange(50_000) < 24_999).astype(float)[:, None]
        verdict = decide_exact(parse_claim("accuracy(x) >= 0.5"), right)
        assert verdict.state == "refuted"
        assert "measured 49.9980 %, required >= 50.0000 %: 0.0020 points short" in repr(verdict)

    def test_the_wrong_table(self):
        claim = parse_claim("accuracy(x) >= accuracy(JPG)")
        with pytest.raises(RobustcheckError, match=r"a column for each of 2 measures, got shape \(3, 1\)"):
            decide_exact(claim, np.ones((3, 1)))


class Measured:
    """Measurements from a table: columns by measure and view, in a random order, and those of another seed."""

    def __init__(self, n, shares, reseeded):
        self.image_count = n
        self.order = np.random.default_rng(0).permutation(n)
        self.shares, self.other = shares, reseeded
        self.evaluated = []

    def sample(self, terms, shares=None):
        position = (np.arange(self.image_count) + 0.5) / self.image_count
        self.evaluated += [str(view) for _, view in terms]
        return np.column_stack([position < (shares or self.shares)[str(view)] for _, view in terms]).astype(
            float
        )

    def peek(self, terms):
        known = all(str(view) in self.evaluated for _, view in terms)
        return self.sample(terms) if known else None

    def draws(self, terms, budget):
        table = self.sample(terms)
        for start in range(0, self.image_count, 64):
            rows = self.order[start : start + 64]
            yield rows, table[rows]

    def reseeded(self, terms):
        return 1, self.sample(terms, self.other)


class TestDecider:
    blind, adaptive = "accuracy(JPG(Adv_1)) >= 0.5", "accuracy(JPG(Adv_1[through=JPG])) >= 0.5"

    def decider(self, n=1_000, policy=None, reseeded=None):
        verdicts = []
        shares = {"x": 0.76, "JPG(Adv_1)": 0.55, "JPG(Adv_1[through=JPG])": 0.3, "Noise_2": 0.5}
        measured = Measured(n, shares, reseeded)
        return Decider(measured, policy, lambda *verdict: verdicts.append(verdict)), measured, verdicts

    @pytest.mark.parametrize("stop_early", [False, True])
    def test_a_verdict_is_passed_on_with_its_claim(self, stop_early):
        decider, _, verdicts = self.decider(20_000, DecisionPolicy(stop_early=stop_early))
        claim = parse_claim("accuracy(x) >= 0.5")
        verdict = decider.decide(claim)
        assert verdicts == [(claim, verdict)]
        assert (verdict.state, verdict.exact) == ("holds", not stop_early)

    @pytest.mark.parametrize("stop_early", [False, True])
    def test_the_adaptive_counterpart_decides_where_it_is_required(self, stop_early):
        policy = DecisionPolicy(stop_early=stop_early, require_adaptive=True)
        decider, _, verdicts = self.decider(policy=policy)
        verdict = decider.decide(parse_claim(self.blind))
        assert (verdict.state, verdict.claim) == ("refuted", self.adaptive)
        assert "where the attack is blind" in verdict.notes[0]
        assert str(verdicts[0][0]) == self.adaptive
        assert "knows of the defence" in verdict.advice

    def test_a_blind_claim_notes_what_an_adaptive_attack_leaves(self):
        decider, measured, _ = self.decider()
        assert "may do better" in decider.decide(parse_claim(self.blind)).notes[0]
        measured.evaluated.append("JPG(Adv_1[through=JPG])")
        assert "goes through it, accuracy 30.0 %" in decider.decide(parse_claim(self.blind)).notes[0]

    def test_a_blind_attack_may_be_compared_with_its_counterpart(self):
        decider, _, verdicts = self.decider()
        claim = parse_claim("accuracy(JPG(Adv_1)) >= accuracy(JPG(Adv_1[through=JPG])) + 0.01")
        assert claim.adaptive_counterpart is None
        assert decider.decide(claim).state == "holds"
        assert verdicts[0][0] == claim

    def test_no_counterpart_is_an_error_that_says_what_would_do(self):
        decider, measured, _ = self.decider(policy=DecisionPolicy(require_adaptive=True))
        measured.shares = {"JPG_10(torchattacks:FGSM_2)": 0.9}
        with pytest.raises(
            RobustcheckError, match=r"can't go through it: .* such as PGD_2\[through=JPG_10\]"
        ):
            decider.decide(parse_claim("accuracy(JPG_10(torchattacks:FGSM_2)) >= 0.5"))

    @pytest.mark.parametrize(("other", "warned"), [(0.49, True), (0.51, False)])
    def test_another_seed_that_would_turn_the_verdict_is_a_warning(self, other, warned):
        decider, _, _ = self.decider(reseeded={"Noise_2": other})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            verdict = decider.decide(parse_claim("accuracy(Noise_2) >= 0.5"))
        assert verdict.state == "holds"
        assert ["--robustcheck-seed=1 it would be <refuted" in str(one.message) for one in caught] == [
            True
        ] * warned

    @pytest.mark.parametrize("stop_early", [False, True])
    def test_a_regression_is_paired_by_image_whatever_the_order(self, stop_early):
        decider, measured, verdicts = self.decider(5_000, DecisionPolicy(stop_early=stop_early))
        (term,) = parse_claim("accuracy(x) >= 0.5").terms
        old = measured.sample([term])[:, 0]
        verdict = decider.decide_regression(*term, old, tolerance=0.01)
        assert (verdict.state, verdict.estimate) == ("holds", 0.0)
        assert verdicts == [(term[1], verdict)]

    @pytest.mark.parametrize("stop_early", [False, True])
    def test_a_regression_on_a_blind_attack_is_marked(self, stop_early):
        decider, measured, _ = self.decider(5_000, DecisionPolicy(stop_early=stop_early))
        for view, notes in (
            ("x", ()),
            ("Noise_2", ()),
            ("JPG(Adv_1)", ("JPG(Adv_1): attack blind to JPG; ",)),
        ):
            (term,) = parse_claim(f"accuracy({view}) >= 0.5").terms
            verdict = decider.decide_regression(*term, measured.sample([term])[:, 0], tolerance=0.01)
            assert len(verdict.blind_notes) == len(notes)
            assert all(map(str.startswith, verdict.blind_notes, notes))
            assert verdict.blind_notes == verdict.notes[len(verdict.notes) - len(notes) :]

    def test_a_family_shares_the_alpha_of_the_policy(self):
        decider, _, _ = self.decider(20_000, DecisionPolicy(stop_early=True, alpha=0.04))
        claims = [(parse_claim(f"accuracy(x) >= 0.{tenths}"), ClaimSettings()) for tenths in (5, 6, 9)]
        verdicts = decider.decide_family(claims)
        assert [verdict.state for verdict in verdicts] == ["holds", "holds", "refuted"]
        assert {verdict.alpha for verdict in verdicts} == {0.04}
