"""The composite action and the templates: their files are well formed, and the shell parts do what they say."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GATE = ROOT / ".github" / "actions" / "gate"
GH = """#!/usr/bin/env bash
echo "$*" >> calls
case "$*" in
  *--jq*) cat ids ;;
esac
"""


@pytest.mark.parametrize(
    "path", [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-hooks.yaml", *ROOT.glob("docs/ci/*.yml")]
)
def test_files_are_well_formed(path):
    assert yaml.safe_load(path.read_text())


def test_the_action_runs_nothing_of_a_pull_request_with_rights_of_the_target():
    assert not [path for path in ROOT.glob(".github/**/*.yml") if "pull_request_target" in path.read_text()]
    action = yaml.safe_load((GATE / "action.yml").read_text())
    steps = action["runs"]["steps"]
    assert all("${{" not in step.get("run", "") for step in steps), (
        "inputs reach the shell as variables, never as code"
    )
    (comment,) = [step for step in steps if "comment.sh" in step.get("run", "")]
    assert "head.repo.full_name == github.repository" in comment["if"]
    assert action["inputs"]["store"]["default"] == "false"


def shell(script, folder, **environment):
    return subprocess.run(
        ["bash", str(GATE / script)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test", "status", "says"),
    [
        (
            "def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.5",
            0,
            "✅ **The claim holds.**",
        ),
        (
            "def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.99",
            1,
            "❌ **Of 1 claim, 1 is refuted.**",
        ),
        ("def test_it():\n    pass", 0, "Nothing was evaluated"),
    ],
)
def test_the_gate_leaves_its_reports_and_its_status(repository, test, status, says):
    repository.makepyfile(test_it=test)
    (repository.path / "robustcheck-report").mkdir()
    (repository.path / "robustcheck-report" / "summary.md").write_text("of an earlier run")
    output, summary = repository.path / "output", repository.path / "step.md"
    done = shell(
        "run.sh",
        repository.path,
        GITHUB_OUTPUT=str(output),
        GITHUB_STEP_SUMMARY=str(summary),
        ARGUMENTS="-k 'it or none'",
    )
    assert done.returncode == 0, done.stderr
    assert output.read_text() == f"status={status}\n"
    assert says in summary.read_text()
    assert "of an earlier run" not in summary.read_text()
    assert (repository.path / "robustcheck-report" / "junit.xml").is_file()
    if "Nothing" not in says:
        assert json.loads((repository.path / "robustcheck-report" / "run.json").read_text())["claims"]


@pytest.mark.slow
def test_a_mistake_in_the_settings_is_in_the_summary(repository):
    repository.makepyfile("def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.5")
    output, summary = repository.path / "output", repository.path / "step.md"
    done = shell(
        "run.sh",
        repository.path,
        GITHUB_OUTPUT=str(output),
        GITHUB_STEP_SUMMARY=str(summary),
        BASELINE="nowhere",
    )
    assert output.read_text() == "status=4\n"
    assert "pytest ended with exit status 4.\n\n    ERROR: " in summary.read_text()
    assert "'nowhere'" in summary.read_text()
    assert "'nowhere'" in done.stderr


@pytest.fixture
def pull_request(tmp_path):
    """A folder with the reports of a run and a stand-in for GitHub's command line."""
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "ids").write_text("")
    (tmp_path / "robustcheck-report").mkdir()
    (tmp_path / "robustcheck-report" / "summary.md").write_text("## robustcheck\n")
    (tmp_path / "robustcheck-report" / "report.html").touch()
    return tmp_path


def comment(folder, **environment):
    """Write the comment and return its text."""
    done = shell(
        "comment.sh",
        folder,
        PATH=f"{folder}{os.pathsep}{os.environ['PATH']}",
        GITHUB_REPOSITORY="a/b",
        PULL_REQUEST="5",
        RUN_URL="https://example.invalid/1",
        **environment,
    )
    assert done.returncode == 0, done.stderr
    return (folder / "robustcheck-report" / "body.md").read_text()


@pytest.mark.parametrize(("ids", "method"), [("", "POST"), ("71\n", "PATCH repos/a/b/issues/comments/71")])
def test_one_comment_is_kept_up_to_date(pull_request, ids, method):
    (pull_request / "ids").write_text(ids)
    body = comment(pull_request)
    assert method in (pull_request / "calls").read_text()
    assert body.startswith("<!-- robustcheck gate -->\n## robustcheck\n")
    assert "a zip, of [this run](https://example.invalid/1)" in body


@pytest.mark.parametrize(
    ("session", "says"),
    [
        ('{"session": {"records": "8 of 9 from the store"}}', "earlier runs: 8 of 9 from the store."),
        ('{"session": {}}', "earlier runs: none."),
        ("broken", "earlier runs: none."),
    ],
)
def test_the_comment_says_how_many_records_came_from_the_store(pull_request, session, says):
    (pull_request / "robustcheck-report" / "run.json").write_text(session)
    assert says in comment(pull_request, STORE="true", BASELINE="main")
    assert "from the store" not in comment(pull_request, BASELINE="main")


def test_the_comment_names_the_artifact(pull_request):
    assert "in the artifact `py311`" in comment(pull_request, ARTIFACT="py311")


def test_the_comment_says_that_an_earlier_step_failed(pull_request):
    shutil.rmtree(pull_request / "robustcheck-report")
    body = comment(pull_request)
    assert "Nothing was evaluated: an earlier step of the job failed." in body
    assert "No page was written" in body


def test_the_comment_says_what_is_missing(pull_request):
    assert "Not compared with an earlier run" in comment(pull_request)
    assert "Not compared" not in comment(pull_request, BASELINE="main")
    with (pull_request / "robustcheck-report" / "summary.md").open("a") as summary:
        summary.write("Against the baseline `v1.csv`:\n")  # --robustcheck-compare in the arguments
    assert "Not compared" not in comment(pull_request)
    (pull_request / "robustcheck-report" / "report.html").unlink()
    assert "No page was written" in comment(pull_request)
