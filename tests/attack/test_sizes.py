"""Long texts and many views: twice the input is about twice the work, counted in calls, or is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from robustcheck import Records, RobustcheckError
from robustcheck.claims import parse_claim, read_claims
from robustcheck.claims.expression import adaptive
from robustcheck.claims.record_warnings import order_warnings
from robustcheck.notation import DEEPEST, X, parse
from robustcheck.records import as_rows
from robustcheck.records.baseline import Baseline
from robustcheck.records.csv import dumps, loads
from robustcheck.records.provenance import Provenance
from robustcheck.report.run import FinishedRun
from robustcheck.report.study import Study
from robustcheck.report.summary import summary_of

SIZE = 200


def calls(act) -> int:
    """How many calls of functions an action makes: a measure of work that no other process disturbs."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def grows_linearly(make) -> bool:
    """Whether twice the size is less than two and a half times the work; `make` returns the action for a size."""
    make(10)()  # what is done once
    small, large = calls(make(SIZE)), calls(make(2 * SIZE))
    return large < 2.5 * small


def views(count):
    texts = (
        f"PGD_{at % 50 + 1}[steps={at // 50 + 1}]" if at % 2 else f"JPG_{at % 90 + 1}(Adv_{at // 90 + 1})"
        for at in range(count)
    )
    return [parse(text) for text in texts]


def records(made, images=4):
    rows = as_rows(
        {
            "prediction": np.zeros(images, int),
            **dict.fromkeys(("correct", "kept"), np.ones(images)),
            **dict.fromkeys(("p_top", "linf", "l2"), np.full(images, 0.5)),
        }
    )
    names = tuple(map(str, range(images)))
    return Records(names, names, np.zeros(images, int), dict.fromkeys([X, *made], rows), Provenance(seed="0"))


def claim(terms):
    return " + ".join(f"0.001 * accuracy({view})" for view in views(terms)) + " >= 0.0001"


@pytest.mark.parametrize(
    "sweep",
    [
        views,
        lambda count: [parse(f"PGD_{at + 1}[norm=2]") for at in range(count)],
        lambda count: [parse(f"Adv_{at + 1}[norm=2]") for at in range(count)],
        lambda count: [parse(f"Noise_{at % 255 + 1}(JPG_{at // 255 + 1})") for at in range(count)],
        lambda count: [parse(f"PGD_1[steps={at + 1}]") for at in range(count)],
    ],
    ids=["mixed", "epsilons of PGD", "epsilons of Adv", "noise", "steps"],
)
def test_order_of_attacks(sweep):
    def make(count):
        made = records(sweep(count))
        return lambda: list(order_warnings(made))

    assert grows_linearly(make)


def test_summary_of_many_views():
    def make(count):
        run = FinishedRun(studies=(Study(records(views(count)), 4),))
        return lambda: summary_of(run, plots=False)

    assert grows_linearly(make)


def test_records_of_many_views():
    def make(count):
        text = dumps(records(views(count)))
        return lambda: loads(text)

    assert grows_linearly(make)


def test_baseline_of_many_views(tmp_path):
    def make(count):
        made = records(views(count))
        return lambda: list(Baseline(tmp_path, made).pairs(made))

    assert grows_linearly(make)


@pytest.mark.parametrize(
    "text",
    [
        claim,
        lambda count: " + ".join(["0.001 * accuracy(x)"] * count) + " >= 0.0001",
        lambda count: "accuracy(x) >= 0.5" + " + 0.0001" * count,
        lambda count: "accuracy(x) >= 0.5" + " * 1" * count,
        lambda count: "-" * 2 * count + "accuracy(x) >= 0.5",
        lambda count: "accuracy(Worst(" + ";".join(map(str, views(count))) + ")) >= 0.5",
        lambda count: f"accuracy(foolbox:A_8[{','.join(f'a{at}=1' for at in range(count))}]) >= 0.5",
        lambda count: f"accuracy(Adv_1[through={'+'.join(['JPG'] * count)}]) >= 0.5",
    ],
    ids=["terms", "equal terms", "numbers", "factors", "signs", "views", "options", "defences"],
)
def test_long_claims(text):
    def make(count):
        made = text(count)
        return lambda: str(parse_claim(made))

    assert grows_linearly(make)


def test_adaptive_counterpart_of_a_long_claim():
    def make(count):
        made = parse_claim(claim(count)).left
        return lambda: adaptive(made)

    assert grows_linearly(make)


@pytest.mark.parametrize(
    "entry",
    [
        'c{0} = "accuracy(x) >= 0.5"\n',
        'c{0} = {{ claim = "accuracy(x) >= 0.5", alpha = 0.1 }}\n',
        'c{0}.claim = "accuracy(x) >= 0.5"\n',
        '[claims.c{0}]\nclaim = "accuracy(x) >= 0.5"\n',
        '[claims."c.{0}"]\nclaim = "accuracy(x) >= 0.5"\n',
    ],
    ids=["texts", "inline tables", "dotted", "tables", "quoted"],
)
def test_files_of_many_claims(tmp_path, entry):
    def make(count):
        path = tmp_path / f"{count}.toml"
        path.write_text("[claims]\n" + "".join(map(entry.format, range(count))))
        return lambda: read_claims(path)

    assert grows_linearly(make)
    read = read_claims(tmp_path / f"{SIZE}.toml")
    lines = (tmp_path / f"{SIZE}.toml").read_text().splitlines()
    for declared in read.claims:
        assert declared.name in lines[declared.line - 1]


DEEP = 10_000


@pytest.mark.parametrize(
    "text",
    [
        "accuracy(" + "JPG(" * DEEP + "x" + ")" * DEEP + ") >= 0.5",
        "(" * DEEP + "accuracy(x)" + ")" * DEEP + " >= 0.5",
        "(" * DEEP,
        "accuracy(" * DEEP,
        "accuracy(" + "Worst(Adv_1; " * DEEP + "x" + ")" * DEEP + ") >= 0.5",
    ],
    ids=["steps", "parentheses", "open", "measures", "selections"],
)
def test_deep_nesting_is_refused(text):
    with pytest.raises(RobustcheckError, match=rf"more than {DEEPEST} |never closed|unknown step"):
        parse_claim(text)


PARTS = ["a", '"a"', "'a'", '"\\""', "a ", '"a.b\\"" \t']


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("where", ["{} = 1", "[{}]", "[[{}]]", "a = {{ {} = 1 }}"])
def test_a_key_of_many_parts_is_refused_before_it_is_read(tmp_path, part, where):
    """tomllib takes time with the square of them: 20,000 are most of a minute."""
    path = tmp_path / "robustcheck.toml"
    path.write_text("\n" + where.format(".".join([part] * 100_000)))
    with pytest.raises(
        RobustcheckError, match=r"robustcheck.toml:2: a key must have at most 16 parts between dots"
    ):
        read_claims(path)


def test_a_text_of_quotes_is_searched_once_for_long_keys(tmp_path):
    """From each of them to the end it would take hours."""
    path = tmp_path / "robustcheck.toml"
    path.write_text('x = "' + '\\"' * 400_000 + '"')
    with pytest.raises(RobustcheckError, match=r"unknown setting .x."):
        read_claims(path)
