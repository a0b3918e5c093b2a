"""Claims as text: what it means, that it reads back, and errors that point at the place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck.claims import ClaimError, mean, parse_claim, recovery
from robustcheck.claims.claim import RELATIONS, compare
from robustcheck.claims.expression import Linear
from robustcheck.errors import RobustcheckError

JPG = "JPG(Adv_1)"
MEASURES = ["accuracy", "top_probability", "kept"]
VIEWS = ["x", "Adv_1", "JPG(Adv_1)", "JPG_50(Adv_5[through=JPG])", "Noise_2", "JPG_noise(Adv_1)"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("accuracy(x) >= 60%", "accuracy(x) >= 0.6"),
        ("  0.8*accuracy(x)<=accuracy(JPG_75( Adv_1 ))  ", "0.8 * accuracy(x) <= accuracy(JPG(Adv_1))"),
        ("0.6 <= recovery(JPG(Adv_1))", "recovery(JPG(Adv_1)) >= 0.6"),
        ("(recovery(JPG(Adv_1))) < (1 - .5) * 50 %", "recovery(JPG(Adv_1)) < 0.25"),
        ("accuracy(x)/2 - -.1e1*kept(JPG) > (1-0.5)/5", "0.5 * accuracy(x) + kept(JPG) > 0.1"),
        ("accuracy(x) - (accuracy(JPG) - kept(JPG)) > 0.1", "accuracy(x) - accuracy(JPG) + kept(JPG) > 0.1"),
        ("1 - accuracy(x) < 0.5", "-accuracy(x) + 1 < 0.5"),
        ("accuracy(x)\n  >= accuracy(JPG)", "accuracy(x) >= accuracy(JPG)"),
        ("2 * 3 * accuracy(x) - 1 > 0", "6 * accuracy(x) - 1 > 0"),
        ("--.25 - +-.25 < accuracy(x)", "0.5 < accuracy(x)"),
        ("8 / 4 / 2 * accuracy(x) > 0.5", "accuracy(x) > 0.5"),
    ],
)
def test_what_a_text_means(text, canonical):
    claim = parse_claim(text)
    assert str(claim) == canonical
    assert parse_claim(canonical) == claim


def test_text_and_python_make_the_same_claim():
    jpg, x = mean("accuracy", JPG), mean("accuracy", "x")
    assert parse_claim(f"accuracy({JPG}) >= 0.8 * accuracy(x)") == compare(jpg, ">=", x * 0.8)
    assert parse_claim(f"recovery({JPG}) >= 60%") == compare(recovery(JPG), ">=", Linear(constant=0.6))
    constant = Linear(constant=0.1)
    assert parse_claim(f"accuracy({JPG}) - 0.1 > 0.1") == compare(jpg - constant, ">", constant)


def test_recovery_is_measured_against_the_outermost_attack():
    claim = parse_claim("recovery(JPG(Adv_5(JPG(Adv_1)))) >= 0.5")
    assert str(claim.guard) == "accuracy(x) - accuracy(Adv_5(JPG(Adv_1)))"
    assert str(claim.form) == (
        "accuracy(JPG(Adv_5(JPG(Adv_1)))) - 0.5 * accuracy(Adv_5(JPG(Adv_1))) - 0.5 * accuracy(x)"
    )


def test_what_must_be_evaluated():
    claim = parse_claim("recovery(JPG(Adv_1)) >= 0%")
    assert sorted(map(str, claim.views)) == ["Adv_1", "JPG(Adv_1)", "x"]
    assert {str(view): blind for view, blind in claim.blind_to.items()} == {"JPG(Adv_1)": ("JPG",)}


numbers = st.floats(-4, 4, allow_subnormal=False).map(lambda number: round(number, 6)).filter(bool)
linears = st.builds(
    lambda parts, constant: sum((mean(m, v) * w for m, v, w in parts), Linear(constant=constant)),
    st.lists(st.tuples(st.sampled_from(MEASURES), st.sampled_from(VIEWS), numbers), min_size=1, max_size=4),
    numbers,
)


@settings(deadline=None)
@given(linears, st.sampled_from(RELATIONS), linears)
def test_claims_read_back(left, relation, right):
    try:
        claim = compare(left, relation, right)
    except RobustcheckError:
        return
    assert parse_claim(str(claim)) == claim
    low, high = claim.form.range
    assert low < high


@settings(deadline=None)
@given(st.sampled_from(VIEWS[2:4]), st.sampled_from(RELATIONS), numbers)
def test_recoveries_read_back(view, relation, number):
    claim = compare(recovery(view), relation, Linear(constant=number))
    assert parse_claim(str(claim)) == claim
    mirrored = {">=": "<=", ">": "<", "<=": ">=", "<": ">"}[relation]
    assert parse_claim(f"{number} {mirrored} recovery({view})") == claim


@settings(deadline=None)
@given(st.text(alphabet="accuryx kept()JPG_Adv1.5%*/+-<>=[;,\n", max_size=40) | st.text(max_size=20))
def test_any_text_is_read_or_refused_with_a_place(text):
    error = None
    try:
        parse_claim(text)
    except ClaimError as caught:
        error = caught
    if error is not None:
        assert 1 <= error.line <= text.count("\n") + 1
        assert 1 <= error.column <= len(text.split("\n")[error.line - 1]) + 1
        assert f"line {error.line}, column {error.column}" in str(error)


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("", 1, 1, "expected a number or one of accuracy, top_probability, kept, recovery, got the end"),
        ("accuracy(x)", 1, 12, "expected a comparison"),
        ("accuracy(x) >= ", 1, 16, "got the end"),
        ("acuracy(x) >= 1", 1, 1, "did you mean accuracy?"),
        ("JPG(Adv_1) > .5", 1, 1, "is a view: say what is measured on it, as in accuracy(JPG)"),
        ("x > 1", 1, 1, "is a view"),
        ("accuracy(JGP) >= .5", 1, 10, "did you mean JPG?"),
        ("accuracy(x\n) >=\n accuracy(JPG(Adv)) * 2", 3, 18, "Adv needs its epsilon"),
        ("accuracy(x) = 1", 1, 13, "'=' is no claim"),
        ("accuracy(x) != 1", 1, 13, "never just a number"),
        ("accuracy(x) => .5", 1, 13, "did you mean >=?"),
        ("accuracy(x) ≥ .5", 1, 13, "did you mean >=?"),
        ("0.1 < accuracy(x) < 0.5", 1, 19, "one comparison: write two claims"),
        ("accuracy(x)*accuracy(JPG) > .5", 1, 12, "a product of two estimates"),
        ("1/accuracy(x) > 2", 1, 2, "a quotient of estimates"),
        ("accuracy(x)/(1-1) > 0.5", 1, 12, "division by 0"),
        ("2*recovery(JPG(Adv_1)) > 1", 1, 2, "no part of a sum or product"),
        ("-recovery(JPG(Adv_1)) > 1", 1, 1, "no part of a sum or product"),
        ("recovery(JPG(Adv_1)) > accuracy(x)", 1, 22, "compares with a number only"),
        ("recovery(JPG(Adv_1)) > recovery(JPG(Adv_5))", 1, 22, "compares with a number only"),
        ("recovery(JPG) > 1", 1, 10, "made from no attack"),
        ("recovery(Adv_1) > .5", 1, 10, "is the attack itself"),
        ("accuracy(x) >= 0", 1, 13, "true of every model"),
        ("accuracy(x) <= 100%", 1, 13, "true of every model"),
        ("accuracy(x) > 100%", 1, 13, "false of every model"),
        ("accuracy(x) >= 60", 1, 13, "false of every model"),
        ("accuracy(x) - accuracy(JPG) >= -1", 1, 29, "lies between -1 and 1"),
        ("kept(x) >= 0.5", 1, 9, "is always 1"),
        ("1 > 0.5", 1, 3, "compares no measure"),
        ("accuracy x > 1", 1, 10, "expected '('"),
        ("accuracy(x > 1", 1, 9, "'(' is never closed"),
        ("(accuracy(x) > 1", 1, 14, "expected ')'"),
        ("(" * 60, 1, 51, "more than 50 parentheses"),
        ("accuracy(x) > 1e999", 1, 15, "too large"),
        ("1e300 * 1e300 * accuracy(x) > 1", 1, 29, "too large"),
        ("accuracy(x) >= 0.5 foo", 1, 20, "expected the end of the claim"),
        ("accuracy() > 1", 1, 10, "expected a view"),
        ("__import__('os').system('true') > 1", 1, 1, "unknown measure '__import__'"),
    ],
)
def test_errors_point_at_the_place(text, line, column, problem):
    with pytest.raises(ClaimError) as caught:
        parse_claim(text)
    error = caught.value
    assert problem in error.problem
    assert (error.line, error.column) == (line, column)
    shown, mark = str(error).split("\n")[-2:]
    assert mark.endswith("^")
    assert len(mark) - 4 == column
    assert text.split("\n")[line - 1].startswith(shown[4:])


def test_a_long_claim_is_shown_around_the_place():
    text = "accuracy(x) + " * 30 + "oops >= 1"
    with pytest.raises(ClaimError) as caught:
        parse_claim(text)
    shown, mark = str(caught.value).split("\n")[-2:]
    assert shown[len(mark) - 1 :].startswith("oops")
    assert len(shown) < 110


def test_only_text_is_text():
    with pytest.raises(TypeError, match="written as text"):
        parse_claim(0.5)
