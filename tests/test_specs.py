"""Every source of models and of images is a row that leads to an implementation."""

from __future__ import annotations

import inspect
from pkgutil import resolve_name

import pytest

from robustcheck.specs import IMAGE_SOURCES, MODEL_SOURCES, SpecSource

ROWS = (*MODEL_SOURCES, *IMAGE_SOURCES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.form)
def test_every_row_can_be_loaded_and_has_its_own_example(row):
    parameters = inspect.signature(resolve_name(row.implementation)).parameters.values()
    kinds = [parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters]
    assert kinds == (
        [False, True, True, *[True] * row.takes_trust] if row in MODEL_SOURCES else [False, False, False]
    )
    sources = MODEL_SOURCES if row in MODEL_SOURCES else IMAGE_SOURCES
    assert next(each for each in sources if each.argument(row.example) is not None) == row
    assert row.description


@pytest.mark.parametrize(
    ("form", "pattern", "spec", "argument"),
    [
        ("hub:NAME", "", "hub:a:b", "a:b"),
        ("hub:NAME", "", "hub", None),
        ("hub:NAME", "", "hub2:a", None),
        ("sample[:small]", "", "sample", ""),
        ("sample[:small]", "", "sample:small", "small"),
        ("a file (.txt)", r".*\.txt", "a:b.txt", "a:b.txt"),
        ("a file (.txt)", r".*\.txt", "a.txt.gz", None),
    ],
)
def test_what_an_implementation_gets_of_a_spec(form, pattern, spec, argument):
    assert SpecSource(form, "", "", "", pattern).argument(spec) == argument
