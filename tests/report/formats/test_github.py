"""GitHub's summary and annotations: golden text, escapes, and the size that is taken."""

import os
from pathlib import Path

import pytest

from robustcheck.records.baseline import Baseline
from robustcheck.report.formats.github import append_summary, code, error_commands, prose, render
from robustcheck.report.run import FinishedRun, TestError
from robustcheck.report.study import Study
from robustcheck.report.summary import summary_of

ON = {"GITHUB_ACTIONS": "true"}


def test_the_whole_summary(made):
    run = made.run(
        made.records(4, ("x", "Adv_1")), troubles=(TestError("test_a.py::test_a", "no such model"),)
    )
    assert render(summary_of(run)).splitlines() == [
        "## robustcheck",
        "",
        "❌ **Of 3 claims, 1 is refuted and 1 is not shown; 1 test failed for another reason.**",
        "",
        "> [!CAUTION]",
        r"> Nothing was decided by `test_a.py::test_a`: no such model",
        "",
        "| | claim | result | bounds | images | attack |",
        "|---|---|---|--:|--:|---|",
        *(
            f"| {sign} | `accuracy(JPG(Adv_1)) >= 0.45` | measured 50.0 % \\(40.0 .. 60.0\\), required \\>= 45.0 %: "
            f"5.0 points to spare | 40.0 % to 60.0 % | 300 of 1,000 | {attack} |"
            for sign, attack in (("❌ refuted", "blind"), ("❔ not shown", "adaptive"), ("✅ holds", "blind"))
        ),
        "",
        "### toy on made up, 4 images",
        "",
        "| view | top-1 | 95 % interval | p(top) | n |",
        "|---|--:|:-:|--:|--:|",
        "| `x` | 100.0 % | 39.8 .. 100.0 % | 0.446 | 4 |",
        "| `Adv_1` | 0.0 % | 0.0 .. 60.2 % | 0.427 | 4 |",
        "",
        "### Findings of arXiv 1608.00853",
        "",
        "- JPEG gives back much: **holds here**. 50 %",
        "- noise too: **does not hold here**. 9 %",
        "",
        "### Checks of the evaluation",
        "",
        "1 of 2 without a fault.",
        "",
        "- ❌ steps: More hurt less.",
        "",
        "<details><summary>Provenance</summary>",
        "",
        "| | |",
        "|---|---|",
        "| model | `toy, weights 0123` |",
        "| images | `made up, 4 images` |",
        "| command line | `pytest` |",
        "| date | `2026-11-24 12:00 UTC` |",
        "",
        "</details>",
    ]


def test_an_error_that_ended_several_tests_is_there_once(made):
    troubles = tuple(TestError(f"test_{number}", "no weights") for number in range(7))
    summary = render(summary_of(made.run(claims=(), troubles=troubles)))
    assert "❌ **No claim was decided: 7 tests failed.**" in summary
    assert summary.count("no weights") == 1
    assert "by `test_0`, `test_1`, `test_2`, `test_3`, `test_4` and 2 more: no weights" in summary


def test_views_without_a_change_since_the_baseline_take_one_line(made):
    then, now = made.records(8, ("x", "Adv_1", "JPG(Adv_1)")), made.records(8, ("x", "Adv_1", "JPG(Adv_1)"))
    (_, first, _) = now.columns.values()
    first["correct"] = 1 - first["correct"]
    summary = render(summary_of(made.run(now, baseline=Baseline(Path("v1.csv"), then))))
    assert "- none of 8 images lost or won: `x`, `JPG(Adv_1)`\n" in summary
    rows = summary.partition("| view | then |")[2].splitlines()
    assert rows[2].startswith("| `Adv_1` | ")
    assert not rows[3]


def test_all_images_seen_are_called_all(made):
    claims = (made.claim(seen=1000), made.claim(seen=300), made.claim(seen=5, population=None))
    rows = [row for row in render(summary_of(made.run(claims=claims))).splitlines() if "accuracy(JPG" in row]
    assert [row.split("|")[5].strip() for row in rows] == ["all 1,000", "300 of 1,000", "5"]


def test_annotation_is_at_the_claims_line_from_the_workspace(made):
    claims = (made.claim(), made.claim("refuted", failed=True, text="a: 50%, b\nc"))
    commands = list(error_commands(claims, Path("/w/repo/sub"), {**ON, "GITHUB_WORKSPACE": "/w/repo"}))
    assert commands == [
        (
            "::error file=sub/test_it.py,line=7,title=REFUTED%3A a%3A 50%25%2C b%0Ac::measured 50.0 %25 (40.0 .. "
            "60.0), required >= 45.0 %25: 5.0 points to spare; n = 300 of 1000, alpha 0.05%0Aa note%0Atest_it.py::test_it"
        )
    ]


def test_no_annotations_elsewhere_nor_more_than_are_shown(made):
    claims = [made.claim("refuted", failed=True)] * 30
    assert list(error_commands(claims, Path(), {})) == []
    assert len(list(error_commands(claims, Path(), ON))) == 10


def test_summary_is_within_the_limit_with_what_is_there_already(made, tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("x" * 1_000_000)
    facts = summary_of(FinishedRun((Study(made.records(), 5),), (made.claim(text="é" * 2000),) * 400))
    append_summary(facts, {"GITHUB_STEP_SUMMARY": str(path)})
    assert 1_040_000 < path.stat().st_size <= 1024 * 1024
    assert path.read_text().endswith("_The rest was left out: GitHub takes 1 MiB of a step._\n")
    append_summary(facts, {"GITHUB_STEP_SUMMARY": str(path)})
    assert path.stat().st_size <= 1024 * 1024


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_that_nobody_reads_is_not_waited_for(made, tmp_path):
    os.mkfifo(tmp_path / "summary")
    with pytest.raises(OSError, match="summary"):
        append_summary(summary_of(made.run()), {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")})


def test_nothing_is_written_where_no_file_is_named(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    append_summary(summary_of(made.run()), {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("a", "`a`"),
        ("a`b``c", "``` a`b``c ```"),
        ("a|b", r"`a\|b`"),
        ("\u202ex\n", r"`\u202ex\n`"),
        ("", "`  `"),
    ],
)
def test_code_span_holds_whatever_is_in_it(text, span):
    assert code(text, cell=True) == span


def test_prose_has_no_markup():
    assert prose("<b>*a*</b> [x](y) @me #1 `c`\n|") == r"\<b\>\*a\*\</b\> \[x\]\(y\) \@me \#1 \`c\` \|"
