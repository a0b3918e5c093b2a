"""The GPU check as it is run where there is no GPU: every step, at toy size, in a process as on the command line."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from tests.gpu import device, wheels

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="steps are run by a fork server"
)

STEPS = """
import time

def slow(job):
    job.log.row("table", "before", seconds=1.5)
    time.sleep(600)

def wrong(job):
    job.log.check("one is one", True)
    job.log.check("one is two", False, "it is one")

def broken(job):
    job.log.row("table", "before", seconds=2.5)
    raise RuntimeError("no such kernel")
"""

MAIN = """
import sys
from pathlib import Path
from tests.gpu import runner

if __name__ == "__main__":
    steps = [runner.Step(name, name, f"odd_steps:{name}", 1.0) for name in sys.argv[3:]]
    results = runner.run(
        steps, Path(sys.argv[1]), seconds=float(sys.argv[2]), options=runner.Options("cpu"), about={}, preload=()
    )
    sys.exit(int(any(result.is_bad for result in results)))
"""


def run(*command, cwd=ROOT, path=ROOT):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True, text=True, check=False, cwd=cwd, env={**environment, "PYTHONPATH": str(path)},
    )  # fmt: skip


def steps_of(folder):
    return {step["key"]: step for step in json.loads((folder / "results.json").read_text())["steps"]}


def numbers(value):
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers(each)]
    return [value]


def test_every_step_runs_at_toy_size(tmp_path):
    pytest.importorskip("triton")
    done = run("-m", "tests.gpu", "--toy", "--device=cpu", "--minutes=30", f"--out={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = steps_of(tmp_path)
    assert list(steps) == list("abcdefghi")
    ended = {key: step["status"] for key, step in steps.items()}
    assert {ended[key] for key in "abcdegh"} == {"ok"}, done.stdout
    assert all(status == "ok" or steps[key]["reason"] for key, status in ended.items())
    assert len(steps["g"]["tables"]["way to cut the work"]) == 3
    found = numbers({key: step["tables"] for key, step in steps.items()})
    assert len(found) > 80
    assert None not in found  # what is not finite
    assert {"triton", "tensor"} <= set(steps["d"]["tables"]["1 images 16x16, quality 75"])
    assert {step["where"] for step in steps.values()} == {"cpu, toy size"}
    page = (tmp_path / "results.md").read_text()
    assert all(f"## ({key}) {step['title']}: {step['status']}" in page for key, step in steps.items())
    assert page in done.stdout
    assert "toy size on the CPU" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output.txt", "results.json", "results.md"]


@pytest.fixture
def odd(tmp_path):
    """Run steps that don't go well, in so many seconds; the process, and the steps' results."""
    (tmp_path / "odd_steps.py").write_text(STEPS)
    (tmp_path / "main.py").write_text(MAIN)

    def run_odd(seconds, *names):
        path = f"{ROOT}{os.pathsep}{tmp_path}"
        done = run(tmp_path / "main.py", tmp_path / "out", seconds, *names, cwd=tmp_path, path=path)
        return done, steps_of(tmp_path / "out")

    return run_odd


def test_a_step_at_its_limit_is_cut_and_keeps_what_it_had(odd):
    done, steps = odd(12, "slow", "wrong")
    assert steps["slow"]["status"] == "cut"
    assert steps["slow"]["reason"] == "cut at 6 s"
    assert steps["slow"]["tables"] == {"table": {"before": {"seconds": 1.5}}}
    assert steps["wrong"]["checks"]["one is one"]["ok"], "the next step was run"
    assert [line[:3] for line in done.stdout.splitlines()] == ["(sl", "(wr"]


def test_time_that_runs_out_is_no_failure(odd):
    done, steps = odd(4, "slow", "wrong")
    assert done.returncode == 0, done.stderr
    assert steps["wrong"]["reason"] == "no time was left"


def test_a_failed_check_makes_the_command_fail(odd):
    done, steps = odd(60, "wrong")
    assert done.returncode == 1
    assert steps["wrong"]["status"] == "failed"
    assert "FAILED one is two" in done.stdout
    assert "**FAILED**: one is two (it is one)" in Path(done.args[2], "results.md").read_text()


def test_a_step_that_breaks_makes_the_command_fail_and_the_next_is_run(odd):
    done, steps = odd(60, "broken", "wrong")
    assert done.returncode == 1
    assert steps["broken"]["reason"] == "RuntimeError: no such kernel"
    assert steps["broken"]["tables"] == {"table": {"before": {"seconds": 2.5}}}
    assert steps["wrong"]["status"] == "failed"


def test_an_unknown_step_is_refused():
    done = run("-m", "tests.gpu", "--only=a,z")
    assert done.returncode == 2
    assert "no such step: z; there are a, b" in done.stderr


def test_wheels_that_fit_are_unpacked(tmp_path):
    for name in ("one-1.0-py3-none-any.whl", "two-1.0-cp27-cp27m-win32.whl"):
        with zipfile.ZipFile(tmp_path / name, "w") as wheel:
            wheel.writestr(f"{name[:3]}.py", "answer = 42")
    (tmp_path / "three-1.0-py3-none-any.whl").write_text("torn")
    taken, left_out = wheels.unpack(tmp_path, tmp_path / "site")
    assert taken == ["one-1.0-py3-none-any.whl"]
    assert [name.partition("-")[0] for name in left_out] == ["three", "two"]
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["one.py"]


def test_waits_on_cuda_are_counted_by_what_torch_warns_of(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with device.host_waits("cuda") as places, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for _ in range(3):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("of something else", stacklevel=1)
    assert modes == ["warn", "default"]
    assert list(places.values()) == [3]
    assert Path(__file__).name in next(iter(places))
