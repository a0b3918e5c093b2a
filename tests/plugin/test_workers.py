"""`--robustcheck-workers`: the run of one process, computed by others."""

import re
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

pytestmark = pytest.mark.slow

TESTS = """
def test_one(robustness):
    assert robustness["Adv_20"].accuracy <= 0.5 * robustness["x"].accuracy

def test_two(robustness):
    assert robustness["JPG_5(Adv_20)"].accuracy >= 0.99
"""


def section(result):
    lines = [line for line in result.outlines if not line.startswith("command line")]
    return lines[next(index for index, line in enumerate(lines) if "= robustcheck =" in line) :][:-3]


def test_section_is_that_of_a_serial_run_and_nothing_of_ray_is_seen(repository, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-Werror")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    repository.makepyfile(TESTS)
    options = ["-s", "--robustcheck-store=off"]
    results = [
        repository.runpytest_subprocess(*options, *workers) for workers in ([], ["--robustcheck-workers=ray"])
    ]
    for result in results:
        result.assert_outcomes(passed=1, failed=1)
        assert not re.search("(?i)raylet|ray instance|warning", result.stdout.str() + result.stderr.str())
    assert section(results[0]) == section(results[1])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--robustcheck-workers=dask"], "*unknown kind of workers 'dask'*Allowed: ray"),
        (["--robustcheck-worker-options=cpus:2"], "*needs workers: --robustcheck-workers=ray"),
        (["--robustcheck-workers=ray", "--robustcheck-worker-options=cpu:2"], "*did you mean 'cpus'*"),
        (
            [
                "--robustcheck-workers=ray",
                "--robustcheck-worker-options=records:store",
                "--robustcheck-store=off",
            ],
            "*records:store needs a record store*",
        ),
        (
            ["--robustcheck-workers=ray", "--robustcheck-worker-options=records:kept"],
            "*records: unknown value 'kept'*sent, store*",
        ),
        (["--robustcheck-workers=ray", "-n", "2"], "*-n do not go together*"),
    ],
)
def test_what_can_not_be(repository, options, told, monkeypatch):
    installed = ModuleType("ray")
    installed.__spec__ = ModuleSpec("ray", None)
    monkeypatch.setitem(sys.modules, "ray", installed)
    result = repository.runpytest(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([told])


def test_without_ray_it_says_what_to_install(repository, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = repository.runpytest("--robustcheck-workers=ray")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*pip install 'pytest-robustcheck[[]ray]'*"])
