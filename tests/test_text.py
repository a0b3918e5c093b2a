"""Texts that messages and reports share."""

import math

import numpy as np
import pytest

from robustcheck.text import first_line, fixed, interval, listed, percent, shell_command


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.5, 1, "50.0 %"),
        (1, 0, "100 %"),
        (-0.0, 1, "0.0 %"),
        (0.98765, 3, "98.765 %"),
        (None, 1, "unknown"),
        (math.nan, 1, "unknown"),
        (math.inf, 1, "unbounded"),
        (-math.inf, 1, "unbounded"),
    ],
)
def test_percentages(value, decimals, text):
    assert percent(value, decimals) == text


@pytest.mark.parametrize(
    ("right", "shown"), [(1977, "98.9 %"), (1, "0.1 %"), (1001, "50.1 %"), (1999, "100.0 %")]
)
def test_halves_are_rounded_up_however_the_share_was_computed(right, shown):
    ways = (right / 2000, 1 - (2000 - right) / 2000, sum([1 / 2000] * right), np.float64(right) / 2000)
    assert {percent(way) for way in ways} == {shown}
    assert fixed(100 * (right / 2000), 1) == shown.removesuffix(" %")


def test_numbers_beyond_floating_point_are_shown_as_they_are():
    assert fixed(1e30, 1) == f"{1e30:.1f}"
    assert fixed(np.float32(0.125), 2) == "0.13"
    assert fixed(-0.04, 1) == "0.0"


def test_intervals_have_no_unit_and_a_sign_where_they_are_of_differences():
    assert interval(0.1, 0.25) == "10.0 .. 25.0"
    assert interval(-0.02, 0.01, 2, signed=True) == "-2.00 .. +1.00"
    assert interval(-math.inf, 0.5) == "unbounded .. 50.0"
    assert interval(None, None) == "unknown .. unknown"


def test_lists_say_how_many_items_they_leave_out():
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(map(str, range(5))) == "0, 1, 2, 3, 4"
    assert listed(map(str, range(6))) == "0, 1, 2, 3, 4 and 1 more"
    assert listed(map(str, range(6)), 2, between="; ") == "0; 1; and 4 more"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (OSError("\n  \n two \nthree"), "two"),
        (RuntimeError(), "no message"),
        ("a text\r\nof lines", "a text"),
        (ValueError("x" * 300), "x" * 200),
    ],
)
def test_the_first_line_of_an_error(error, line):
    assert first_line(error) == line


def test_the_first_line_is_cut_where_asked():
    assert first_line("abcdef", 3) == "abc"


@pytest.mark.parametrize(
    ("argument", "posix", "windows"),
    [
        ("--robustcheck-limit=8", "--robustcheck-limit=8", "--robustcheck-limit=8"),
        ("a.py::t[JPG(x)]", "'a.py::t[JPG(x)]'", '"a.py::t[JPG(x)]"'),
        ("it's", "'it'\"'\"'s'", '"it\'s"'),
        ("a|b & c", "'a|b & c'", '"a|b & c"'),
        ('say "hi"', "'say \"hi\"'", '"say \\"hi\\""'),
        ("C:\\new dir\\", "'C:\\new dir\\'", '"C:\\new dir\\\\"'),
        ("C:\\models", "'C:\\models'", "C:\\models"),
        ("", "''", '""'),
    ],
)
def test_commands_are_quoted_as_the_system_s_shells_read_them(argument, posix, windows):
    assert shell_command(["pytest", argument], "posix") == f"pytest {posix}"
    assert shell_command(["pytest", argument], "nt") == f"pytest {windows}"


def test_what_does_not_print_is_escaped_on_windows():
    assert shell_command(["a\nb", "c d\t"], "nt") == r'a\nb "c d\t"'
