"""SARIF and GitLab's code quality report: a result for each claim that failed, at its line."""

import json
import re

import jsonschema
import pytest

from robustcheck.report.formats.code_quality import entries
from robustcheck.report.formats.sarif import document
from robustcheck.report.run import FinishedRun

SARIF = {  # what the specification requires of the parts that we write
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message", "ruleId", "level"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {"type": "object", "required": ["text"]},
                                "partialFingerprints": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string"},
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def claims(made):
    return [
        made.claim("holds"),
        made.claim("refuted", failed=True, id="test_it.py::test_it#1"),
        made.claim("not shown", "kept(x) >= 0.9", failed=True, file="", line=0, id="b"),
        made.claim("refuted", text="max of two", failed=False),
    ]


def test_sarif_has_a_result_for_each_claim_that_failed(claims):
    found = document(claims)
    jsonschema.validate(found, SARIF)
    (run,) = found["runs"]
    first, second = run["results"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert first["ruleId"] in rules
    assert second["ruleId"] in rules
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "test_it.py"},
        "region": {"startLine": 7},
    }
    assert "locations" not in second
    assert first["message"]["text"].startswith("accuracy(JPG(Adv_1)) >= 0.45: measured 50.0 %")
    assert first["partialFingerprints"] != second["partialFingerprints"]


def test_a_file_s_name_becomes_a_uri_in_sarif(made):
    for file, uri in (
        ("a b.py", "a%20b.py"),
        ("tests/50%.py", "tests/50%25.py"),
        ("é#1.py", "%C3%A9%231.py"),
    ):
        (result,) = document([made.claim("refuted", failed=True, file=file)])["runs"][0]["results"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": uri}


def test_code_quality_has_what_gitlab_requires(claims):
    first, second = entries(claims)
    assert first["location"] == {"path": "test_it.py", "lines": {"begin": 7}}
    assert (first["severity"], second["severity"]) == ("critical", "major")
    assert re.fullmatch("[0-9a-f]{64}", first["fingerprint"])
    assert first["fingerprint"] == entries(claims)[0]["fingerprint"] != second["fingerprint"]


def test_both_are_written_by_a_run(repository):
    repository.makepyfile(
        test_red="def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.99\n",
        test_green="def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.5\n",
    )
    result = repository.runpytest("--robustcheck-sarif=out/r.sarif", "--robustcheck-code-quality=out/q.json")
    result.assert_outcomes(passed=1, failed=1)
    (found,) = json.loads((repository.path / "out/r.sarif").read_text())["runs"][0]["results"]
    assert found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "test_red.py"
    (entry,) = json.loads((repository.path / "out/q.json").read_text())
    assert entry["location"] == {"path": "test_red.py", "lines": {"begin": 2}}


def test_names_of_anyone_stay_printable(made, hostile_texts):
    for text in hostile_texts:
        claim = made.claim("refuted", text=text, failed=True)
        shown = [
            document([claim])["runs"][0]["results"][0]["message"]["text"],
            entries([claim])[0]["description"],
        ]
        lines = [line for each in shown for line in each.split("\n")]
        assert not any(
            re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|^\s*::", line) for line in lines
        ), text
    assert FinishedRun().claims == ()
