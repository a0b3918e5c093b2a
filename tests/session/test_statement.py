"""What a test requires is read from the syntax of its statements."""

import contextlib
import linecache
import sys
import textwrap

import pytest

from robustcheck.session.statement import comparison_at


class Truth:
    """Compares as an estimate does, and notes what the statement requires of it, at the comparison and when asked."""

    def __init__(self, name, compared, asked, truth=True):
        self.name, self.compared, self.asked, self.truth = name, compared, asked, truth

    def __ge__(self, other):
        self.compared.append(comparison_at(sys._getframe(1)))
        return Truth(self.name, self.compared, self.asked, self.truth)

    __lt__ = __le__ = __gt__ = __ge__

    def __bool__(self):
        self.asked.append(comparison_at(sys._getframe(1), self))
        return self.truth


@pytest.fixture
def read(tmp_path):
    """Return what a source requires of the comparisons in it, and of those that are asked for their truth."""

    def read(source, **truths):
        path = tmp_path / "test_it.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        linecache.checkcache(str(path))
        compared, asked = [], []
        names = {name: Truth(name, compared, asked, truths.get(name, True)) for name in "abc"}
        with contextlib.suppress(AssertionError):
            exec(compile(path.read_text(encoding="utf-8"), path, "exec"), {**names, "pytest": pytest})
        return compared, asked

    return read


def shown(found):
    """Return a requirement as "holds", "contrary" or the alternatives; "compared" where there is none."""
    required = found.requirement
    if required is None:
        return "compared"
    return required.whole or {True: "holds", False: "contrary"}[required.holds]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("assert a >= 1", ["holds"]),
        ("assert (a >= 1), 'because'", ["holds"]),
        ("assert a >= 1 and b >= 1", ["holds"] * 2),
        ("assert bool(a >= 1)", ["holds"]),
        ("assert (ok := a >= 1)", ["holds"]),
        ("assert all([a >= 1, b >= 1])", ["holds"] * 2),
        ("assert all(each >= 1 for each in (a, b))", ["all(each >= 1 for each in (a, b))"] * 2),
        ("assert all([*[a >= 1], b >= 1])", ["all([*[a >= 1], b >= 1])"] * 2),
        ("assert not any(each >= 1 for each in (c,))", ["not any(each >= 1 for each in (c,))"]),
        ("for each in (a, b):\n    assert each >= 1", ["holds"] * 2),
        ("assert not a >= 1", ["contrary"]),
        ("assert not not a >= 1", ["holds"]),
        ("assert not (a >= 1 or b >= 1)", ["contrary"]),
        ("assert not any([a >= 1, b >= 1])", ["contrary"] * 2),
        ("assert a >= 1 and not b >= 1", ["holds", "contrary"]),
        ("assert c >= 1 or b >= 1", ["c >= 1 or b >= 1"] * 2),
        ("assert c >= 1 or (a >= 1 and b >= 1)", ["c >= 1 or (a >= 1 and b >= 1)"] * 3),
        ("assert a >= 1 and (c >= 1 or b >= 1)", ["holds", *["c >= 1 or b >= 1"] * 2]),
        ("assert not (a >= 1 and c >= 1)", ["not (a >= 1 and c >= 1)"] * 2),
        ("assert any([c >= 1, a >= 1])", ["any([c >= 1, a >= 1])"] * 2),
        ("assert 'ä' and a >= 1", ["holds"]),
        ("assert a >= 1 if b else c >= 1", ["a >= 1 if b else c >= 1"]),
        ("assert a >= 1 if b >= 1 else c >= 1", ["compared", "a >= 1 if b >= 1 else c >= 1"]),
        ("assert [a >= 1]", ["compared"]),
        ("assert True, a >= 1", []),
        ("assert False, a >= 1", ["compared"]),
        ("if a >= 1:\n    pass", ["compared"]),
        ("while not a >= 1:\n    pass", ["compared"]),
        ("ok = a >= 1", ["compared"]),
        ("a >= 1", ["compared"]),
        ("assert len([each for each in (a, b) if each >= 1]) == 2", ["compared"] * 2),
        ("assert all(True for each in (a, b) if each >= 1)", ["compared"] * 2),
        ("assert max(a, b) is not None", ["compared"]),
        ("assert max(a, b) >= 1", ["compared", "holds"]),
        ("assert sorted([a, b])", ["compared"]),
        ("with pytest.raises(AssertionError):\n    assert a >= 1 and False", ["compared"]),
        ("try:\n    assert c >= 1\nexcept AssertionError:\n    pass", ["compared"]),
        ("try:\n    assert c >= 1\nexcept AssertionError:\n    print()\n    raise", ["holds"]),
        ("try:\n    assert c >= 1\nexcept ValueError:\n    pass", ["holds"]),
        ("try:\n    assert a >= 1\nfinally:\n    pass", ["holds"]),
    ],
)
def test_what_a_statement_requires_of_a_comparison(read, source, expected):
    compared, _ = read(source, c=False)
    assert [shown(each) if each.is_operator else "compared" for each in compared] == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("ok = a >= 1\nassert ok", ["holds"]),
        ("ok = a >= 1\nassert not ok", ["contrary"]),
        ("ok = [a >= 1, b >= 1]\nassert all(ok)", ["all(ok)"] * 2),
        ("ok, other = a >= 1, b >= 1\nassert ok and not other", ["holds", "contrary"]),
        ("ok, other = a >= 1, b >= 1\nassert all([ok, other])", ["holds"] * 2),
        ("class run: ok = a >= 1\nassert all([run.ok, b >= 1])", ["holds"] * 2),
        ("ok = a >= 1\nif ok:\n    pass", ["compared"]),
        ("def both():\n    return a >= 1\nassert both()", ["holds"]),
        ("def both():\n    return a >= 1\nassert both() and b >= 1", ["holds", "holds"]),
        ("def good(it):\n    return it >= 1\nassert good(a) and good(b)", ["good(a) and good(b)"] * 2),
    ],
)
def test_what_a_statement_requires_of_what_was_compared_before(read, source, expected):
    _, asked = read(source)
    assert [*map(shown, asked)] == expected


def test_a_function_that_compares_is_no_operator_of_the_test(read):
    compared, _ = read("assert max(a, b) >= 1")
    assert [each.is_operator for each in compared] == [False, True]


def test_without_a_source_nothing_is_required():
    compared = []
    exec("assert a >= 1", {"a": Truth("a", compared, [])})
    assert [*map(shown, compared)] == ["compared"]
