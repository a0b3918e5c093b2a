"""The schema for editors allows what the reader allows, and is the one in the package."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

import robustcheck
from robustcheck import RobustcheckError
from robustcheck.claims.toml_file import read_claims
from robustcheck.claims.toml_schema import schema

CLAIM = 'a = "accuracy(x) >= 0.5"'
GOOD = [
    f"[claims]\n{CLAIM}\n",
    f'alpha = 0.01\nfamily = "holm"\n[claims]\n{CLAIM}\n',
    f'[robustcheck]\nabout = "population"\non_undecided = "warn"\ntolerance = 0\n[claims]\n{CLAIM}\n',
    '[claims.a]\nclaim = "kept(Adv_1) >= 10%"\nalpha = 0.2\ntolerance = 0.5\n',
]
BAD = [
    "",
    "[claims]\n",
    f"alpha = 0\n[claims]\n{CLAIM}\n",
    f"alpha = 1\n[claims]\n{CLAIM}\n",
    f"tolerance = -0.1\n[claims]\n{CLAIM}\n",
    f"tolerance = true\n[claims]\n{CLAIM}\n",
    f'about = "everything"\n[claims]\n{CLAIM}\n',
    f'family = "bonferroni"\n[claims]\n{CLAIM}\n',
    f"budget = 5\n[claims]\n{CLAIM}\n",
    f"[robustcheck]\nseed = 1\n[claims]\n{CLAIM}\n",
    "[claims]\na = 5\n",
    '[claims]\n"a::b" = "accuracy(x) >= 0.5"\n',
    "[claims.a]\nalpha = 0.2\n",
    '[claims.a]\nclaim = "accuracy(x) >= 0.5"\nfamily = "holm"\n',
]


def is_read(text, folder):
    (folder / "robustcheck.toml").write_text(text)
    try:
        read_claims(folder / "robustcheck.toml")
    except RobustcheckError:
        return False
    return True


def is_valid(text):
    return jsonschema.Draft202012Validator(schema()).is_valid(tomllib.loads(text))


@pytest.mark.parametrize("text", GOOD)
def test_what_can_be_read_is_valid(text, tmp_path):
    assert is_read(text, tmp_path)
    assert is_valid(text)


@pytest.mark.parametrize("text", BAD)
def test_what_can_not_be_read_is_not_valid(text, tmp_path):
    assert not is_read(text, tmp_path)
    assert not is_valid(text)


def test_the_schema_is_well_formed_and_the_one_in_the_package():
    """If it is not: `python -m robustcheck schema > robustcheck/robustcheck.schema.json`."""
    jsonschema.Draft202012Validator.check_schema(schema())
    path = Path(robustcheck.__file__).with_name("robustcheck.schema.json")
    assert json.loads(path.read_text()) == schema()
