"""How long torch's idle threads spin is set before torch is loaded, and only where nobody else has said."""

import os
import subprocess
import sys

import pytest

SHOW = """
import os


def test_it():
    import torch

    print("spins", torch.SPINS, sorted(name for name in os.environ if name.startswith("OMP")))
"""

TORCH = "import os\n\nSPINS = os.environ.get('GOMP_SPINCOUNT')"
"""It stands in for torch, which reads the variable as it is loaded, too."""


@pytest.fixture
def run(pytester):
    pytester.makepyfile(test_it=SHOW, torch=TORCH)

    def run(*arguments, early="", **environment):
        names = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")
        plain = {name: value for name, value in os.environ.items() if name not in names}
        command = [sys.executable, "-c", f"{early}\nimport sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"]
        done = subprocess.run(
            [*command, "-s", *arguments],
            cwd=pytester.path, env={**plain, **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize(
    ("arguments", "environment", "shown"),
    [
        ((), {}, "spins 3000"),
        (("--robustcheck-spin-count=500",), {}, "spins 500"),
        (("--robustcheck-spin-count=off",), {}, "spins None"),
        (("-o", "robustcheck_spin_count=off"), {}, "spins None"),
        ((), {"GOMP_SPINCOUNT": "7"}, "spins 7"),
        ((), {"OMP_WAIT_POLICY": "ACTIVE"}, "spins None"),
        ((), {"KMP_BLOCKTIME": "200"}, "spins None"),
        (("--robustcheck-spin-count=lots",), {}, "must be an integer >= 0, or off, got 'lots'"),
    ],
)
def test_the_count_is_set_where_nobody_else_has(run, arguments, environment, shown):
    assert shown in run(*arguments, **environment)


def test_workers_of_xdist_have_it_too(run, pytester):
    pytester.makepyfile(test_it=SHOW.replace("print(", "assert 0, ("))
    assert "('spins', '3000'" in run("-n1", "-p", "xdist")


def test_torch_that_is_loaded_already_is_advised_of_once(run, repository):
    (repository.path / "torch.py").unlink()
    repository.makepyfile(test_it="def test_it(robustness):\n    robustness.evaluate('x')")
    out = run("--robustcheck-store=off", early="import torch")
    assert out.count("set GOMP_SPINCOUNT=3000 in the environment") == 1
    assert "GOMP_SPINCOUNT" not in run("--robustcheck-store=off")
    repository.makepyfile(test_it="def test_it(): pass")
    assert "GOMP_SPINCOUNT" not in run(early="import torch")
