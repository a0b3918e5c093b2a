"""The composite action and the templates: their files are well formed, and the shell parts do what they say."""

import json
import os
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
        ("def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.5", 0, "1 of 1 claims hold"),
        ("def test_it(robustness):\n    assert robustness['x'].accuracy >= 0.99", 1, "0 of 1 claims hold"),
        ("def test_it():\n    pass", 0, "nothing was evaluated"),
    ],
)
def test_the_gate_leaves_its_reports_and_its_status(repository, test, status, says):
    repository.makepyfile(test_it=test)
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
    assert (repository.path / "robustcheck-report" / "junit.xml").is_file()
    if "nothing" not in says:
        assert json.loads((repository.path / "robustcheck-report" / "run.json").read_text())["claims"]


@pytest.mark.parametrize(("ids", "method"), [("", "POST"), ("71\n", "PATCH repos/a/b/issues/comments/71")])
def test_one_comment_is_kept_up_to_date(tmp_path, ids, method):
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "ids").write_text(ids)
    (tmp_path / "robustcheck-report").mkdir()
    (tmp_path / "robustcheck-report" / "summary.md").write_text("## robustcheck\n")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = shell(
        "comment.sh",
        tmp_path,
        PATH=path,
        GITHUB_REPOSITORY="a/b",
        PULL_REQUEST="5",
        RUN_URL="https://example.invalid/1",
    )
    assert done.returncode == 0, done.stderr
    assert method in (tmp_path / "calls").read_text()
    body = (tmp_path / "robustcheck-report" / "body.md").read_text()
    assert body.startswith("<!-- robustcheck gate -->\n## robustcheck\n")
    assert "[this run](https://example.invalid/1)" in body
