"""Limits on the size of outside data: checked in one place, raised by an option."""

import pytest

from robustcheck.errors import RobustcheckError
from robustcheck.limits import LIMITS, check, excess, limit, limits_in_use, parse_limits, use_limits


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_is_the_largest_size_that_is_accepted(name):
    check(name, LIMITS[name].default, "it has")
    with pytest.raises(RobustcheckError, match=f"^it has .* --robustcheck-input-limits={name}:"):
        check(name, LIMITS[name].default + 1, "it has")


@pytest.mark.parametrize("name", LIMITS)
def test_what_the_error_says_to_do_is_enough(name):
    got = 3 * LIMITS[name].default
    advice = excess(name, got).rpartition("=")[2]
    with use_limits(parse_limits(advice)):
        assert limits_in_use() == {name: got}
        assert excess(name, got) == ""
    assert limits_in_use() == {}


def test_limits_are_restored_after_an_error():
    before = limit("pixels")
    with pytest.raises(ZeroDivisionError), use_limits({"pixels": 1}):
        1 / 0  # noqa: B018
    assert limit("pixels") == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pixel:1", "did you mean 'pixels'"),
        ("pixels", "pixels: must be an integer >= 1, .* got ''"),
        ("pixels:0", "got '0'"),
        ("pixels:-1", "got '-1'"),
        ("pixels:1,pixels:1e9", "got '1e9'"),
        ("pixels:" + "9" * 5000, "got '9{60}'$"),
        ("", "unknown limit ''"),
    ],
)
def test_options_that_are_wrong(text, message):
    with pytest.raises(RobustcheckError, match=message):
        parse_limits(text)


def test_the_option_holds_for_its_own_run_alone(pytester):
    pytester.makepyfile("""
        from robustcheck.limits import limit
        def test_limit():
            assert limit("pixels") == 12_000_000
    """)
    pytester.runpytest("--robustcheck-input-limits=pixels:12M").assert_outcomes(passed=1)
    assert limits_in_use() == {}
