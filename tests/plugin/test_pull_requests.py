"""The workflows of docs/pull_requests.md: what they run, in their order, on a repository."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.shown_output import blocks

PAGE = Path(__file__).parents[2] / "docs" / "pull_requests.md"
TESTS = """
def test_accuracy(robustness):
    assert robustness["x"].accuracy >= 0.6

def test_no_regression(robustness):
    assert robustness.no_regression("x", tolerance=0.1)
"""


def workflows():
    """Return the two workflows, that of main first."""
    return [yaml.safe_load(block.text) for block in blocks(PAGE) if block.language == "yaml"]


def commands(workflow):
    """Return the arguments of pytest in a workflow, step by step."""
    (job,) = workflow["jobs"].values()
    runs = [step["run"] for step in job["steps"] if step.get("run", "").startswith("pytest ")]
    return [shlex.split(re.sub(r"\$\{\{ github.run_id \}\}", "123", run))[1:] for run in runs]


def test_what_main_saves_is_what_a_pull_request_restores():
    main, pull_request = (next(iter(each["jobs"].values()))["steps"] for each in workflows())
    (saved,) = [step["with"] for step in main if step.get("uses", "").startswith("actions/cache/save@")]
    (restored,) = [step["with"] for step in pull_request if "cache/restore@" in step.get("uses", "")]
    assert saved["path"] == restored["path"] == "robustcheck-baselines/main.csv"
    assert saved["key"].startswith(restored["restore-keys"])


@pytest.mark.slow
def test_the_commands(repository):
    (save,), (assisted, first) = map(commands, workflows())
    repository.makepyfile(TESTS)
    repository.runpytest(*first).assert_outcomes(passed=1, deselected=1)
    repository.runpytest(*save).assert_outcomes(passed=1, deselected=1)
    assert (repository.path / "robustcheck-baselines" / "main.csv").is_file()
    result = repository.runpytest(*assisted)
    result.assert_outcomes(passed=2)
    text = " ".join(" ".join(result.outlines).split())
    assert re.search(r"assisted by main \(20\d\d-\d\d-\d\d, 40 images\), churn 0 % so far", text)
