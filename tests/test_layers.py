"""The structure that DESIGN promises: imports go one way, and a run without us costs nothing."""

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

import robustcheck

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def graph():
    """Who imports whom at run time, inside functions too."""
    return grimp.build_graph("robustcheck", exclude_type_checking_imports=True, cache_dir=None)


def test_contracts_of_pyproject_hold():
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout


def test_no_module_imports_itself_by_a_detour(graph):
    around = {
        frozenset({module, *graph.find_upstream_modules(module) & graph.find_downstream_modules(module)})
        for module in graph.modules
    }
    assert not [sorted(circle) for circle in around if len(circle) > 1]


def test_no_module_imports_the_package_it_is_in(graph):
    """The package re-exports it: such a circle slips past the contract."""
    guilty = {
        module
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module) - {"robustcheck"}
        if module.startswith(f"{imported}.")
    }
    assert not guilty


@pytest.mark.parametrize("module", ["robustcheck", "robustcheck.plugin"])
def test_importing_costs_no_library(module):
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "numpy", "scipy", "PIL", "torchvision"} & set(loaded)


def test_public_names_can_be_had_and_are_sorted():
    assert robustcheck.__all__ == sorted(robustcheck.__all__)
    for name in robustcheck.__all__:
        assert getattr(robustcheck, name).__name__.rpartition(".")[2] == name
    assert set(robustcheck.__all__) <= set(dir(robustcheck))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        robustcheck.nothing  # noqa: B018
