"""Texts by Hypothesis for every parser: a value, or an error of ours whose message is printable.

ROBUSTCHECK_FUZZ=100000 makes the quick run an evening's.
"""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from robustcheck import RobustcheckError, evaluate
from robustcheck.claims import parse_claim, read_claims
from robustcheck.notation import parse
from robustcheck.options.types import transfer_models
from robustcheck.records.csv import dumps
from robustcheck.records.tables import read
from robustcheck.report.formats import github, html, terminal
from robustcheck.report.formats import json as json_format
from robustcheck.report.loader import load_run
from robustcheck.report.redaction import hider, without_paths
from robustcheck.report.summary import summary_of
from robustcheck.store.store import read_block
from robustcheck.text import printable
from tests.attack.hostile import TEXTS, faults

FUZZ = settings(
    max_examples=int(os.environ.get("ROBUSTCHECK_FUZZ", "60")),
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
WORDS = [
    *(
        "x",
        "Adv_1",
        "PGD_8",
        "JPG",
        "JPG_50..90",
        "Worst",
        "Noise_2",
        "foolbox:LinfPGD_8",
        "art:A_1",
        "(",
        ")",
        "[",
        "]",
    ),
    *(
        "from=",
        "through=",
        "target=",
        "steps=",
        "eot=",
        ",",
        ";",
        "=",
        ".",
        "..",
        "os:abort",
        "timm:a",
        "9" * 400,
        "-",
        "+",
    ),
    *(
        "accuracy(",
        "kept(",
        "recovery(",
        "top_probability(",
        ">=",
        "<",
        "0.5",
        "%",
        "*",
        "/",
        "1e308",
        "1e-320",
        "::",
        "\\",
    ),
    *TEXTS.values(),
]
texts = st.one_of(st.lists(st.sampled_from(WORDS), max_size=14).map("".join), st.text(max_size=40))
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        texts,
        st.sampled_from([10**400, "", "x", "holds"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


def attempt(act):
    """Return the value of a call, or None for an error of ours, whose message must be printable."""
    try:
        return act()
    except RobustcheckError as error:
        message = str(error)
    message.encode("utf-8")  # raises for a lone surrogate
    assert not faults(message)
    return None


@FUZZ
@given(texts)
def test_texts(text):
    assert not faults(printable(text))
    assert not faults("\n".join(map(printable, hider(Path("/"))(text).split("\n"))))


@FUZZ
@given(texts)
def test_views(text):
    view = attempt(lambda: parse(text))
    if view is not None:
        assert parse(str(view)) == view
        assert not [char for char in str(view) if not char.isprintable()]


@FUZZ
@given(texts)
def test_claims(text):
    claim = attempt(lambda: parse_claim(text))
    if claim is not None:
        assert parse_claim(str(claim)) == claim
        assert claim.adaptive_counterpart is None or claim.adaptive_counterpart.views


@FUZZ
@given(texts)
def test_transfer_models(text):
    try:
        models = transfer_models(text)
    except ValueError:
        return
    assert all(models.values())


@FUZZ
@given(st.lists(st.tuples(st.sampled_from(["{0} = {1}\n", "[{0}]\n", "[[{0}]]\n", "{0}.a = {1}\n", "{0} = {{a = {1}}}\n", "{2}"]), texts, values, texts), max_size=5))  # fmt: skip
def test_claim_files(tmp_path, parts):
    keys = ["claims", "claims.a", "robustcheck", "alpha", "family", "claim"]
    text = "".join(
        form.format(keys[len(key) % 6] if len(key) % 2 else json.dumps(key), json.dumps(value), more)
        for form, key, value, more in parts
    )
    path = tmp_path / "robustcheck.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    attempt(lambda: read_claims(path))


@pytest.fixture(scope="module")
def whole(toy_classifier, toy_images):
    rows = list(csv.reader(io.StringIO(dumps(evaluate(toy_classifier, toy_images, ["Adv_1"])), newline="")))
    return json.loads(rows[1][-1]), rows


def text_of(rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


CLAIM = {
    "state": "holds",
    "text": "accuracy(x) >= 0.5",
    "numbers": "a",
    "file": "a.py",
    "line": 3,
    "failed": True,
}
ENTRIES = ["provenance", "views", "images", "classes", "integrity tests failed", "run", "other"]
FIELDS = [
    *(
        "state",
        "text",
        "numbers",
        "notes",
        "model",
        "estimate",
        "low",
        "high",
        "threshold",
        "seen",
        "population",
    ),
    *("views", "attack", "test", "file", "line", "role", "comparison", "about", "id"),
]


@FUZZ
@given(
    st.dictionaries(st.sampled_from(ENTRIES), values, max_size=2),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=3),
    st.dictionaries(
        st.sampled_from(["model", "images", "codec", "device", "versions", "odd"]), texts, max_size=3
    ),
    st.sampled_from(["", "claims", "provenance"]),
)
def test_headers_of_records(tmp_path, whole, entries, fields, provenance, part):
    header, rows = whole
    header = {**header, **entries}
    if part == "claims":
        header["run"] = {"claims": [CLAIM | fields]}
    if part == "provenance":
        header["provenance"] = provenance
    path = tmp_path / "a.csv"
    path.write_text(text_of([rows[0], [*rows[1][:-1], json.dumps(header)], *rows[2:]]), encoding="utf-8")
    run = attempt(lambda: load_run([path], against=path))
    if run is not None:
        summary = summary_of(without_paths(run, tmp_path))
        assert not faults("\n".join(terminal.render(summary)))
        assert not faults(github.render(summary))
        assert json.loads(json_format.render(summary))
        assert html.render(summary).encode("utf-8")
        environment = {"GITHUB_ACTIONS": "true"}
        for command in github.error_commands(run.claims, tmp_path, environment):
            assert "\n" not in command
            assert command.startswith("::error ")


@FUZZ
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 9), texts), max_size=3))
def test_records(tmp_path, whole, changes):
    text = text_of(whole[1])
    for at, removed, piece in changes:
        start = at % len(text)
        text = text[:start] + piece + text[start + removed :]
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    attempt(lambda: read(path))


@FUZZ
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
@example([(1390, 1)])  # texts became bytes
def test_parquet_and_blocks(tmp_path, toy_classifier, toy_images, changes):
    pytest.importorskip("pyarrow")
    store = tmp_path / "store"
    if not store.exists():
        evaluate(toy_classifier, toy_images, ["Adv_1"], store=store)
    (block,) = store.rglob("*-13-*.parquet")
    data = bytearray(block.read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    path = tmp_path / block.name
    path.write_bytes(data)
    attempt(lambda: read_block(path))
    attempt(lambda: read(path))
