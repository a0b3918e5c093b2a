"""`--robustcheck-forecast`: what a run is likely to need; nothing is judged, saved, or evaluated in full."""

import json
import re

import jsonschema
import pytest

from robustcheck.report.forecast import CLOSING, duration
from robustcheck.report.formats.json import SCHEMA

COUNT = 400
TESTS = """
import pytest

def test_contrary(robustness):
    assert not robustness["x"].accuracy >= 0.99
    assert robustness["x"].accuracy >= 0.6

@pytest.mark.xfail(strict=True)
def test_expected_to_fail(robustness):
    assert robustness.recovery("JPG_90(Adv_20)") >= 0.9

def test_checked(robustness):
    robustness.check("kept(Noise_4) >= 99%")
    robustness.check("accuracy(x) >= 89%", about="population")

def test_other():
    raise RuntimeError("is not run")
"""
TOML = """
[claims]
small = "accuracy(Adv_20) <= accuracy(x) - 10%"
"""
FORECAST = ("--robustcheck-forecast", "--robustcheck-json=run.json")
EARLY = (*FORECAST, "--robustcheck-stop-early")


@pytest.fixture
def large(repository):
    """The toy repository with 400 images, 90 % of them right."""
    conftest = repository.path / "conftest.py"
    text = conftest.read_text().replace("(40, 3, 16, 16)", f"({COUNT}, 3, 16, 16)")
    text = text.replace("range(40)", f"range({COUNT})")
    conftest.write_text(
        text.replace("labels[:4] = (labels[:4] + 1) % 4", "labels[::10] = (labels[::10] + 1) % 4")
    )
    repository.makepyfile(test_it=TESTS)
    return repository


def read(repository):
    """Return the run's JSON, checked by its schema, and the forecasts of claims by their texts."""
    run = json.loads((repository.path / "run.json").read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(run)
    return run, {claim["text"]: claim for claim in run["forecast"]["claims"]}


def section(result):
    """Return the lines of the section on the terminal, to its end."""
    lines = result.outlines
    start = next(at for at, line in enumerate(lines) if line.strip("= ") == "robustcheck")
    return [line for line in lines[start + 1 :] if line and not line.startswith("=")]


def test_every_claim_has_a_forecast_and_none_a_verdict(large):
    (large.path / "robustcheck.toml").write_text(TOML)
    result = large.runpytest(
        ".", *EARLY, "--robustcheck-save=main", "--robustcheck-report=run.html", "-rs", "-Werror"
    )
    result.assert_outcomes(skipped=4, deselected=1)
    assert result.ret == 0
    run, claims = read(large)
    assert (run["claims"], run["studies"]) == ([], [])
    assert set(claims) == {
        "not accuracy(x) >= 0.99",
        "accuracy(x) >= 0.6",
        "recovery(JPG_90(Adv_20)) >= 0.9",
        "kept(Noise_4) >= 0.99",
        "accuracy(x) >= 0.89",
        "accuracy(Adv_20) <= accuracy(x) - 0.1",
    }
    assert claims["accuracy(Adv_20) <= accuracy(x) - 0.1"]["name"] == "small"
    assert {(claim["population"], claim["source"], claim["source_images"]) for claim in claims.values()} == {
        (COUNT, "pilot", 64)
    }
    assert run["forecast"]["pilot"] == 64
    assert claims["accuracy(x) >= 0.6"]["images"] < 100
    lines = section(result)
    assert max(map(len, lines)) <= 80
    assert lines[-1] == CLOSING or lines[-1].startswith("SKIPPED")
    result.stdout.fnmatch_lines(
        [
            "forecast",
            "  small: accuracy(Adv_20) <= accuracy(x) - 0.1",
            "    about * images, * at 90 %, of 400; about *",
            "    from 64 images of the pilot",
            "  the expensive one: *",
            "  all together about * on this machine (cpu)",
            "the baseline main was not saved: *",
            "report not written: *",
            CLOSING,
            "SKIPPED *forecast only: no claim was judged",
        ]
    )
    assert not (large.path / "robustcheck-baselines").exists()
    assert not (large.path / "run.html").exists()


def test_without_early_stopping_each_claim_takes_all_images(large):
    result = large.runpytest(*FORECAST)
    result.assert_outcomes(skipped=3, deselected=1)
    run, claims = read(large)
    assert {(claim["images"], claim["source"]) for claim in claims.values()} == {(COUNT, "all images")}
    assert run["forecast"]["seconds"] > 0
    assert run["forecast"]["simulations"] == 0
    result.stdout.fnmatch_lines(["    all 400 images; about *", CLOSING])


def test_a_baseline_says_what_to_expect_and_assists(large):
    large.makepyfile(
        test_it="""
        def test_known(robustness):
            assert robustness["x"].accuracy >= 0.85

        def test_regression(robustness):
            assert robustness.no_regression("x", tolerance=0.05)

        def test_of_a_view_that_it_lacks(robustness):
            assert robustness["Noise_4"].accuracy >= 0.5
        """
    )
    large.runpytest("--robustcheck-save=main", "-k", "known").assert_outcomes(passed=1, deselected=2)
    compared = ("--robustcheck-compare=main", *EARLY)
    large.runpytest(*compared).assert_outcomes(skipped=3)
    _, assisted = read(large)
    known = assisted["accuracy(x) >= 0.85"]
    assert (known["source"], known["changed"], known["changed_of"]) == ("assisted", 0, 64)
    assert assisted["accuracy(x) - accuracy(x) of the baseline >= -0.05"]["source"] == "assisted"
    assert assisted["accuracy(Noise_4) >= 0.5"]["source"] == "pilot"
    large.runpytest(*compared, "--robustcheck-assist=off").assert_outcomes(skipped=3)
    _, plain = read(large)
    assert plain["accuracy(x) >= 0.85"]["source"] == "baseline"
    assert plain["accuracy(x) >= 0.85"]["source_images"] == COUNT
    assert known["images"] < plain["accuracy(x) >= 0.85"]["images"]


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--robustcheck-suite=mutation"], 4, "*own tests*got --robustcheck-suite=mutation: leave out*"),
        (["-n", "2"], 4, "*got workers of pytest-xdist*leave out -n*"),
        (["-k", "nothing_has_this_name"], 5, "no test made a claim: there is nothing to forecast"),
    ],
)
def test_what_can_not_be_forecast(large, options, code, text):
    if "-n" in options:
        pytest.importorskip("xdist")
    result = large.runpytest(*EARLY, *options)
    assert result.ret == code
    shown = result.stderr if code == 4 else result.stdout
    shown.fnmatch_lines([text])
    assert not (large.path / "run.json").exists()


def test_claims_that_can_not_be_evaluated_are_red_and_the_others_are_forecast(large):
    large.makepyfile(
        test_it="""
        def test_fine(robustness):
            assert robustness["x"].accuracy >= 0.5

        def test_view(robustness):
            assert robustness["Adv_1[from=other]"].kept >= 0.5

        def test_regression(robustness):
            assert robustness.no_regression("x")

        def test_plain(robustness):
            assert robustness["x"].accuracy >= 0.5
            assert len(robustness.records.ids) > 64
            assert robustness["x"].accuracy >= 0.6
        """
    )
    result = large.runpytest(*EARLY)
    result.assert_outcomes(failed=2, skipped=2)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*unknown model 'other'*", "*there is no baseline to compare with*"])
    result.stdout.no_fnmatch_line("*pluggy/_*")
    run, claims = read(large)
    assert set(claims) == {"accuracy(x) >= 0.5"}
    (note,) = run["forecast"]["notes"]
    assert note.startswith("test_it.py::test_plain: an assertion failed on the pilot")


def test_a_branch_is_taken_by_what_the_pilot_measured_and_a_counterpart_is_forecast(large):
    large.makepyfile(
        test_it="""
        import pytest

        def test_branch(robustness):
            if robustness["x"].accuracy < 0.3:
                pytest.skip("a poor model")
            both = robustness["x"].accuracy >= 0.999
            assert not both
            assert all(robustness[view].accuracy >= 0.01 for view in ("x", "JPG(Adv_1)"))
        """
    )
    large.runpytest(*EARLY, "--robustcheck-require-adaptive", "--robustcheck-budget=32").assert_outcomes(
        skipped=1
    )
    _, claims = read(large)
    assert list(claims) == [
        "accuracy(x) < 0.3",
        "not accuracy(x) >= 0.999",
        "accuracy(x) >= 0.01",
        "accuracy(JPG(Adv_1)) >= 0.01",
        "accuracy(JPG(Adv_1[through=JPG])) >= 0.01",
    ]
    assert {claim["budget"] for claim in claims.values()} == {32}
    assert max(claim["images_high"] for claim in claims.values()) <= 32


def test_labels_of_the_whole_set_are_needed(large):
    conftest = large.path / "conftest.py"
    text = conftest.read_text()
    conftest.write_text(text.replace("    names = [", "    labels[17] = -1\n    names = [", 1))
    large.makepyfile(test_it="def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.5")
    result = large.runpytest(*EARLY)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*accuracy needs labels, and 1 of the 400 images*"])


def test_a_run_that_stops_early_says_what_its_claims_took(large):
    large.makepyfile(
        test_it="""
        def test_cheap(robustness):
            assert robustness["x"].accuracy >= 0.5

        def test_expensive(robustness):
            assert robustness["x"].accuracy >= 0.85
        """
    )
    result = large.runpytest("--robustcheck-stop-early")
    result.assert_outcomes(passed=2)
    lines = "\n".join(section(result))
    least, most = (
        int(found) for found in re.search(r"images: (\d+) to (\d+) of 400 for a claim", lines).groups()
    )
    assert 0 < least < most <= 400
    assert "most for test_expensive" in " ".join(lines.split())
    assert "for a claim" not in "\n".join(large.runpytest().outlines)


def test_times_are_in_the_unit_that_a_person_uses():
    assert [duration(seconds) for seconds in (0, 1.4, 119, 600, 7200)] == [
        "1 s",
        "1 s",
        "119 s",
        "10 min",
        "2.0 h",
    ]
