"""Which comparisons are claims, and which of them failed: the same in every report."""

import json
from xml.etree import ElementTree as ET

import pytest

GREEN = """
    import pytest

    def test_plain(robustness):
        assert robustness["x"].accuracy >= 0.5

    def test_not(robustness):
        assert not robustness["Adv_20"].accuracy >= 0.8

    def test_or(robustness):
        assert robustness["Adv_20"].accuracy >= 0.8 or robustness["x"].accuracy >= 0.8

    def test_any(robustness):
        assert any(robustness[view].accuracy >= 0.8 for view in ("Adv_20", "x"))

    def test_if(robustness):
        if robustness["x"].accuracy < 0.3:
            pytest.skip("too weak to say anything")

    def test_max(robustness):
        assert max(robustness[view].accuracy for view in ("Adv_20", "x")) >= 0.7

    def test_variable(robustness):
        good = robustness["x"].accuracy >= 0.6
        assert good

    def test_caught(robustness):
        with pytest.raises(AssertionError):
            assert robustness["Adv_20"].accuracy >= 0.81

    def strong(robustness):
        assert robustness["Adv_20"].accuracy >= 0.82

    def test_caught_from_afar(robustness):
        with pytest.raises(AssertionError):
            strong(robustness)

    @pytest.mark.xfail(reason="known")
    def test_known(robustness):
        assert robustness["x"].accuracy >= 0.4
        assert robustness["Adv_20"].accuracy >= 0.83
"""
HELD = [
    "accuracy(x) >= 0.5",
    "not accuracy(Adv_20) >= 0.8",
    "robustness['Adv_20'].accuracy >= 0.8 or robustness['x'].accuracy >= 0.8",
    "any(robustness[view].accuracy >= 0.8 for view in ('Adv_20', 'x'))",
    "accuracy(x) >= 0.7",
    "accuracy(x) >= 0.6",
    "accuracy(x) >= 0.4",
]
EXPECTED = "accuracy(Adv_20) >= 0.83"


@pytest.fixture
def reports(repository, monkeypatch):
    """Run a file of tests; return the result, the JSON's claims, the JUnit properties, the summary, and the page."""

    def run(source):
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(repository.path / "summary.md"))
        repository.makepyfile(source)
        names = ("--robustcheck-json=run.json", "--robustcheck-report=page.html", "--junitxml=junit.xml")
        result = repository.runpytest(*names)
        claims = json.loads((repository.path / "run.json").read_text("utf-8"))["claims"]
        suite = ET.parse(repository.path / "junit.xml").iter("property")
        junit = {each.get("name"): each.get("value") for each in suite}
        texts = [(repository.path / name).read_text("utf-8") for name in ("summary.md", "page.html")]
        return result, claims, junit, *texts

    return run


def test_a_green_run_refutes_nothing(reports):
    result, claims, junit, summary, page = reports(GREEN)
    result.assert_outcomes(passed=9, xfailed=1)
    required = [claim for claim in claims if claim["role"] == "claim"]
    assert [claim["text"] for claim in required if claim["state"] == "holds"] == HELD
    assert [claim["text"] for claim in required if claim["state"] == "expected to fail"] == [EXPECTED]
    assert len(required) == len(HELD) + 1
    assert not any(claim["failed"] for claim in claims)
    compared = {claim["text"] for claim in claims if claim["role"] == "compared"}
    assert {"accuracy(x) < 0.3", "accuracy(Adv_20) >= 0.81", "accuracy(Adv_20) >= 0.82"} < compared

    counts = {name.rpartition(".")[2]: value for name, value in junit.items() if ".claims." in name}
    assert counts == {"holds": "7", "refuted": "0", "not-shown": "0", "expected-to-fail": "1"}
    assert sorted(value for name, value in junit.items() if name.endswith("].verdict")) == [
        "expected to fail",
        *["holds"] * 7,
    ]
    assert "**7 of 8 claims hold, 1 was expected to fail, and did.**" in summary
    assert "refuted" not in summary
    assert "claims refuted" not in page
    assert "<b>7 of 8</b> <span>claims hold" in page
    assert not any("::error" in line or "REFUTED" in line for line in result.outlines)
    result.stdout.fnmatch_lines(
        ["  HOLDS     *: not accuracy(Adv_20) >= 0.8", f"  EXPECTED TO FAIL *: {EXPECTED}"]
    )


def test_only_the_claim_of_the_statement_that_raised_has_failed(reports):
    result, claims, _, summary, _ = reports(
        """
        def test_second(robustness):
            if robustness["Adv_20"].accuracy >= 0.81:
                return
            assert robustness["x"].accuracy >= 0.5 and robustness["Adv_20"].accuracy >= 0.8

        def test_not(robustness):
            assert not robustness["x"].accuracy >= 0.5

        def test_or(robustness):
            assert robustness["Adv_20"].accuracy >= 0.8 or robustness["Adv_20"].accuracy >= 0.7

        def test_other(robustness):
            if robustness["Adv_20"].accuracy >= 0.8:
                return
            assert robustness["x"].accuracy >= 0.5
            raise ValueError("of another kind")
        """
    )
    result.assert_outcomes(failed=4)
    failed = [claim["text"] for claim in claims if claim["failed"]]
    assert failed == [
        "accuracy(Adv_20) >= 0.8",
        "not accuracy(x) >= 0.5",
        "robustness['Adv_20'].accuracy >= 0.8 or robustness['Adv_20'].accuracy >= 0.7",
    ]
    assert [claim["id"] for claim in claims if claim["failed"]][:2] == [
        "test_only_the_claim_of_the_statement_that_raised_has_failed.py::test_second#2",
        "test_only_the_claim_of_the_statement_that_raised_has_failed.py::test_not#1",
    ]
    assert [claim["state"] for claim in claims if claim["role"] == "claim"].count("refuted") == 3
    assert "❌ **Of 5 claims, 3 are refuted; 1 test failed for another reason.**" in summary
    assert sum("::error" in line for line in result.outlines) == 3
    result.stdout.fnmatch_lines(
        [
            "E       REFUTED: accuracy(Adv_20) >= 0.8",
            "E         measured *, required >= 80.0 %: * points short",
            "worst images (5 of * that count against it, of 40 seen):",
            "E       REFUTED: not accuracy(x) >= 0.5",
            "E * measured 90.0 %, required < 50.0 %: 40.0 points short",
            "worst images (5 of 36 that count against it, of 40 seen):",
            "E       REFUTED: robustness['Adv_20'].accuracy >= 0.8 or",
            "E         accuracy(Adv_20) >= 0.8: measured *, required >= 80.0 %",
            "E         accuracy(Adv_20) >= 0.7: measured *, required >= 70.0 %",
        ]
    )


STATEMENTS = {
    "and": "assert AT('x') and AT('Adv_20') and not AT('Adv_10')",
    "any": "assert any(AT(view) for view in ('x', 'Adv_20'))",
    "all": "assert all(AT(view) for view in ('x', 'x', 'x'))",
    "not_all": "assert not all(AT(view) for view in ('Adv_20', 'x'))",
    "not_or": "assert not (AT('Adv_20') or AT('Adv_10'))",
    "stored": "one, two = AT('x'), AT('x')\n    assert one and two and AT('x')",
    "list": "one, two = AT('x'), AT('x')\n    assert all([one, two])",
    "condition": "assert AT('x') if AT('Adv_20') else AT('x')",
    "chain": "assert AT('x') and 0.01 <= robustness['x'].accuracy <= 0.99",
    "helper": "assert good('x') and good('x')",
    "walrus": "assert (one := AT('x')) and one and AT('x')",
    "nested": "assert all(any(AT(view) for view in ('x', 'Adv_20')) for _ in range(2))",
    "other": "assert AT('x') and robustness is not None and len('abc') >= 3",
}
"""Each is green at a low limit and red at a high one, or the other way round; AT compares a view with the limit."""


def test_the_number_of_claims_does_not_depend_on_what_was_measured(reports):
    body = "\n".join(
        f"def test_{name}(robustness, least):\n    good = lambda view: AT(view)\n    {line}\n".replace(
            "AT(view)", "(robustness[view].accuracy >= least)"
        )
        for name, line in STATEMENTS.items()
    )
    for view in ("x", "Adv_10", "Adv_20"):
        body = body.replace(f"AT('{view}')", f"(robustness['{view}'].accuracy >= least)")
    limits = "import pytest\npytestmark = pytest.mark.parametrize('least', [0.001, 0.5, 0.95])\n"
    result, claims, *_ = reports(limits + body)
    counts = {name: [0, 0, 0] for name in STATEMENTS}
    for claim in claims:
        if claim["role"] == "claim":
            test, _, least = claim["test"].partition("::test_")[2].partition("[")
            counts[test][("0.001]", "0.5]", "0.95]").index(least)] += 1
    assert {name: set(each) for name, each in counts.items()} == {
        "and": {3},
        "any": {1},
        "all": {1},
        "not_all": {1},
        "not_or": {2},
        "stored": {3},
        "list": {2},
        "condition": {1},
        "chain": {3},
        "helper": {1},
        "walrus": {2},
        "nested": {1},
        "other": {1},
    }
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert {claim["state"] for claim in claims if claim["failed"]} == {"refuted"}
    skipped = [claim for claim in claims if claim["state"] == "not shown"]
    assert {claim["numbers"] for claim in skipped} == {
        "not evaluated: an earlier part of the assertion failed"
    }
    assert "robustness['Adv_20'].accuracy >= least" in {claim["text"] for claim in skipped}


def test_each_round_of_a_loop_makes_its_own_claim(reports):
    result, claims, *_ = reports(
        """
        def test_loop(robustness):
            for least in (0.1, 0.2, 0.95):
                assert any(robustness[view].accuracy >= least for view in ("Adv_20", "x"))

        def test_stored(robustness):
            for least in (0.1, 0.2, 0.95):
                found = [robustness[view].accuracy >= least for view in ("Adv_20", "x")]
                assert any(found)
        """
    )
    result.assert_outcomes(failed=2)
    assert [claim["state"] for claim in claims] == ["holds", "holds", "refuted"] * 2


def test_what_was_not_evaluated_of_an_expected_failure_is_expected_to_fail_too(reports):
    result, claims, _, summary, _ = reports(
        """
        import pytest

        @pytest.mark.xfail(reason="known")
        def test_known(robustness):
            assert robustness["Adv_20"].accuracy >= 0.8 and robustness["x"].accuracy >= 0.5
        """
    )
    result.assert_outcomes(xfailed=1)
    assert [claim["state"] for claim in claims] == ["expected to fail"] * 2
    assert "2 were expected to fail, and did." in summary


def test_one_of_several_comparisons_to_blame_has_one_list_of_images(reports):
    result, *_ = reports(
        """
        def test_it(robustness):
            assert robustness["Adv_20"].accuracy >= 0.8 or robustness["Adv_20"].kept >= 0.8
        """
    )
    assert sum("worst images" in line for line in result.outlines) == 1


def test_claims_do_not_depend_on_what_was_measured(reports):
    source = """
        import pytest

        @pytest.mark.parametrize("least", [0.1, 0.95])
        def test_each(robustness, least):
            for view in ("x", "Adv_20"):
                assert robustness[view].accuracy >= least or robustness["x"].accuracy >= 0.5
            max(robustness[view].accuracy for view in ("x", "Adv_20"))
        """
    result, claims, *_ = reports(source)
    result.assert_outcomes(passed=2)
    required = [claim["test"] for claim in claims if claim["role"] == "claim"]
    assert [sum(f"[{least}]" in test for test in required) for least in ("0.1", "0.95")] == [2, 2]
