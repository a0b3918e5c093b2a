"""The newcomer's repository: the lines of its README, from a clone to a red claim and its cure."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "fixtures" / "own_model"
LINES = re.search(r"```sh\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)[1].splitlines()
INSTALLS = ("python -m venv", ". .venv", "pip install")


def run(line, folder, **environment):
    """What a line prints, and its exit status."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "80", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_there_are_ten_lines():
    assert len(LINES) == 10
    assert LINES[0] == 'git clone "$REPOSITORY" robustcheck'
    assert all(any(line.startswith(start) for line in LINES) for start in INSTALLS)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of a repository that holds the folder as it is now."""
    pytest.importorskip("sklearn")
    if shutil.which("git") is None or shutil.which("bash") is None:
        pytest.skip("needs git and bash")
    origin, place = tmp_path_factory.mktemp("origin"), tmp_path_factory.mktemp("place")
    names = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(FOLDER, origin / "fixtures" / "own_model", ignore=names)
    identity = "-c user.name=a -c user.email=a@example.org"
    status, text = run(f"git init -q . && git add . && git {identity} commit -qm all", origin)
    assert status == 0, text
    status, text = run(LINES[0], place, REPOSITORY=str(origin))
    assert status == 0, text
    return place / LINES[1].removeprefix("cd ")


@pytest.mark.slow
def test_lines_lead_to_a_red_claim_and_its_cure(clone):
    """All lines but those that install; each `pytest` is one whole run."""
    outputs = []
    for line in LINES[2:]:
        if line.startswith(INSTALLS):
            continue
        status, text = run(line, clone)
        outputs.append((line.split("#")[0].strip(), status, text))
    (first, patch, red, sanity, cured) = outputs
    assert (first[1], patch[1], red[1], sanity[1], cured[1]) == (0, 0, 1, 1, 0), outputs
    assert "5 passed" in first[2]
    assert first[2].count("HOLDS") == 5
    assert "1 failed, 4 passed" in red[2]
    assert "REFUTED: accuracy(x) >= 0.9" in red[2]
    assert "another reading: mean and std 0.5" in " ".join(sanity[2].split())
    assert "5 passed" in cured[2]
