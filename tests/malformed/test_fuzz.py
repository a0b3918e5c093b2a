"""What the parsers do with texts that nobody would write: a tree that reads back, or one of our errors.

Some thousand texts a run; ROBUSTCHECK_FUZZ=100000 makes it an evening's.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from robustcheck import Records, RobustcheckError
from robustcheck.claims import parse_claim, read_claims
from robustcheck.notation import X, parse
from robustcheck.records import as_rows
from robustcheck.records.baseline import FOLDER, Baseline, path_of
from robustcheck.records.csv import dumps, loads
from robustcheck.records.provenance import Provenance

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("ROBUSTCHECK_FUZZ", "2500"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

PIECES = [
    "x",
    "Adv",
    "JPG",
    "JPG_noise",
    "Noise",
    "PGD",
    "_1",
    "_50",
    "_0",
    "_",
    "(",
    ")",
    "[",
    "]",
    "=",
    ",",
    ";",
    "label",
    "through",
    "top",
    "true",
    "255",
    ".",
    "-",
    "e9",
    "\x00",
    "é",
    "١",
    "'",
    '"',
    "#",
]
MORE = [
    "accuracy",
    "kept",
    "recovery",
    "top_probability",
    ">=",
    "<=",
    ">",
    "<",
    "==",
    "+",
    "-",
    "*",
    "/",
    "%",
    "0.5",
    "60",
    "1e308",
    ".5",
    "nan",
]
VALID = ["JPG_50(Adv_5[through=JPG_50])", "JPG_noise(Adv_1)", "JPG(Noise_2(Adv_1[label=true]))"]
CLAIMS = ["accuracy(JPG(Adv_1)) >= 0.8 * accuracy(x)", "recovery(JPG(Adv_1)) >= 60%", "1 - kept(x) < .5 / 2"]


def texts(pieces, valid):
    """Pieces in any order, and valid texts with some characters taken out, doubled, or put in."""
    mutated = st.tuples(
        st.sampled_from(valid), st.lists(st.tuples(st.integers(0, 60), st.sampled_from(pieces)), max_size=3)
    )
    return st.one_of(
        st.lists(st.sampled_from(pieces), max_size=12).map("".join),
        st.lists(st.sampled_from(pieces), max_size=12).map(" ".join),
        mutated.map(lambda made: _mutated(*made)),
        st.text(max_size=30),
    )


def _mutated(text, changes):
    for at, piece in changes:
        text = text[:at] + piece + text[at + at % 2 :]
    return text


@FUZZ
@given(texts(PIECES, VALID))
@example("JPG(" * 49 + "x" + ")" * 49)
def test_views(text):
    try:
        view = parse(text)
    except RobustcheckError as error:
        assert "column" in str(error)
    else:
        assert parse(str(view)) == view


@FUZZ
@given(texts(PIECES + MORE, CLAIMS))
def test_claims(text):
    try:
        claim = parse_claim(text)
    except RobustcheckError as error:
        assert "column" in str(error)
    else:
        assert parse_claim(str(claim)) == claim
        assert claim.views


TOML = [
    "[claims]",
    "[claims.a]",
    "[[claims]]",
    "a",
    "b",
    "=",
    '"',
    "'",
    "\n",
    "#",
    "family",
    "alpha",
    "tolerance",
    "about",
    "on_undecided",
    "claim",
    "3",
    "0.5",
    "true",
    "[]",
    "{}",
    "holm",
]
FILES = [
    '[claims]\na = "accuracy(x) >= 0.5"\n',
    "family = 'holm'\nalpha = 0.1\n[claims.a]\nclaim = 'kept(x) > 0.1'\nabout = 'testset'\n",
]


@FUZZ
@given(text=texts([*TOML, *CLAIMS], FILES))
def test_claim_files(tmp_path, text):
    path = tmp_path / "robustcheck.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    try:
        read = read_claims(path)
    except RobustcheckError as error:
        assert str(path) in str(error)
    else:
        lines = text.splitlines() or [""]
        assert all(1 <= claim.line <= len(lines) + 1 for claim in read.claims)


def some_records():
    columns = as_rows({
        "prediction": np.array([0, 1, -1]), "correct": np.array([1.0, 0, np.nan]), "p_top": np.array([0.9, 0.5, np.nan]),
        "kept": np.array([1.0, 1, np.nan]), "linf": np.array([0.0, 0, np.nan]), "l2": np.array([0.0, 0, np.nan]),
    })  # fmt: skip
    return Records(
        ("aa", "bb", ""),
        ("a.png", "b.png", "c,\n.png"),
        np.array([0, 0, 1]),
        {X: columns, parse("JPG"): columns},
        Provenance.from_header({"model": "toy"}),
    )


WHOLE = dumps(some_records())
CELLS = [
    *[
        ",",
        "\n",
        '"',
        "0",
        "1",
        "-1",
        "7",
        "0.5",
        "nan",
        "inf",
        "1e400",
        "x",
        "img:",
        "Adv_1",
        "#",
        "{",
        "}",
        "[",
        "]",
        "\\",
        "\x00",
        "é",
    ],
    "# robustcheck records 1\n",
    "",
]


@FUZZ
@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 9), st.sampled_from(CELLS)), max_size=3))
def test_records(changes):
    text = WHOLE
    for at, removed, piece in changes:
        text = text[:at] + piece + text[at + removed :]
    try:
        read, header = loads(text, "v1.csv")
    except RobustcheckError as error:
        assert "v1.csv" in str(error)
    else:
        again, _ = loads(
            dumps(
                read,
                {
                    key: header[key]
                    for key in header.keys() - {"provenance", "views", "rows", "images", "format"}
                },
            )
        )
        for view in read.views:
            for name in ("prediction", "p_top", "linf", "l2"):
                assert np.array_equal(read.column(name, view), again.column(name, view), equal_nan=True)
            seen = read.seen(view)
            assert (
                (read.column("p_top", view)[seen] >= 0) & (read.column("p_top", view)[seen] <= 1.00001)
            ).all()


@FUZZ
@given(
    name=st.one_of(
        st.text(max_size=20),
        texts(["..", "/", "\\", "a", ".", "CON", "nul", ":", "~", " ", "-"], ["v1.2_final"]),
    )
)
def test_names_of_baselines_never_leave_their_folder(tmp_path, name):
    try:
        path = path_of(name, tmp_path)
    except RobustcheckError as error:
        assert "name" in str(error)
    else:
        assert path.parent == tmp_path / FOLDER
        assert Path(os.path.normpath(path)).parent == tmp_path / FOLDER


@settings(FUZZ, max_examples=max(100, EXAMPLES // 4))
@given(
    content=st.one_of(
        st.binary(max_size=200), st.integers(0, len(WHOLE)).map(lambda end: WHOLE[:end].encode())
    )
)
def test_baselines(tmp_path, content):
    path = tmp_path / "v1.csv"
    path.write_bytes(content)
    with pytest.raises(RobustcheckError, match=r"v1.csv") if content != WHOLE.encode() else _nothing():
        Baseline.read(str(path), tmp_path)


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None
