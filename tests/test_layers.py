"""The structure that DESIGN promises: imports go one way, and a run without us costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import robustcheck

PACKAGE = Path(robustcheck.__file__).parent
ORDER = [
    *("text", "errors", "atomic_io", "byte_size", "notation", "records", "options", "claims", "store"),
    *("jpeg", "models", "images", "strategies", "attacks", "transforms", "evaluation", "executors", "sanity"),
    *("robustness", "report", "benchmark", "session", "plugin", "suites", "__main__"),
]
STILL_TO_MOVE = {  # this list goes, with the reasons for it
    "evaluation/diagnostics.py": "sanity",
    "evaluation/engine.py": "executors",
    "records/baseline.py": "claims",
}
TORCH_FREE = ("text", "errors", "atomic_io", "byte_size", "notation", "records", "options", "claims")


def module_imports():
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
                if node.module == "robustcheck":
                    names = [f"robustcheck.{alias.name}" for alias in node.names]
            for name in names:
                yield path, room, name.split(".")


def test_every_module_imports_only_what_comes_before_it():
    broken = [
        f"{path.relative_to(PACKAGE)} imports {'.'.join(parts)}"
        for path, room, parts in module_imports()
        if parts[0] == "robustcheck" and len(parts) > 1 and room != "__init__"
        if parts[1] in ORDER and ORDER.index(parts[1]) > ORDER.index(room)
        if STILL_TO_MOVE.get(path.relative_to(PACKAGE).as_posix()) != parts[1]
    ]
    assert not broken


def test_every_room_is_in_the_order():
    rooms = {
        path.name.removesuffix(".py")
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"__init__"} == set(ORDER)


def test_no_torch_below_the_line():
    broken = [
        f"{path.relative_to(PACKAGE)} imports {parts[0]}"
        for path, room, parts in module_imports()
        if room in TORCH_FREE and parts[0] in {"torch", "torchvision", "PIL", "timm"}
    ]
    assert not broken


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
        assert getattr(robustcheck, name).__name__ == name
    assert set(robustcheck.__all__) <= set(dir(robustcheck))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        robustcheck.nothing  # noqa: B018
