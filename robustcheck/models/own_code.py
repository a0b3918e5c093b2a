"""Code of the project itself: modules that are no installed packages, and their sources."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import sysconfig
import textwrap
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

_FOLDERS = {"site-packages", "dist-packages"}
_PARSING = threading.RLock()
"""Held while a source is parsed: CPython 3.11 counts the depth of one parse for all threads, and fails where two meet."""
_STDLIB = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}


def is_own_module(module: ModuleType) -> bool:
    """Return whether a module is of the project: a file of Python that is in no installed package."""
    path = getattr(module, "__file__", None)
    if not path or not path.endswith(".py") or module.__name__.partition(".")[0] == "robustcheck":
        return False
    folder = Path(path).resolve().parent
    return _FOLDERS.isdisjoint(folder.parts) and _STDLIB.isdisjoint([folder, *folder.parents])


def module_of(value: Any) -> ModuleType | None:
    """Return the module that a class or function is of, if it is loaded."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return sys.modules.get(name) if isinstance(name, str) else None


def source_of(value: Any) -> str | None:
    """Return the source of a class or function that no module's file holds; None if there is none."""
    try:
        with _PARSING:  # inspect parses, too
            return _without_comments(inspect.getsource(value))
    except (OSError, TypeError, SyntaxError):
        return None


def sources_digest(modules: set[ModuleType]) -> str:
    """Return 16 hex digits over the sources of modules of the project, and of those of the project that they import.

    Comments and line numbers do not count.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name, module in sorted((module.__name__, module) for module in _with_imports(modules)):
        digest.update(f"{name}\n{_without_comments(_text(module))}\n".encode())
    return digest.hexdigest()


def _with_imports(modules: set[ModuleType]) -> set[ModuleType]:
    found: set[ModuleType] = set()
    waiting = [*modules]
    while waiting:
        module = waiting.pop()
        if module not in found and is_own_module(module):
            found.add(module)
            waiting += _imported(module)
    return found


def _imported(module: ModuleType) -> Iterator[ModuleType]:
    """Yield the modules that a module imports, at its top or inside functions, as far as they are loaded."""
    for name in _names_imported(_text(module), getattr(module, "__package__", "") or ""):
        if (found := sys.modules.get(name)) is not None:
            yield found


@lru_cache(maxsize=1024)
def _names_imported(source: str, package: str) -> tuple[str, ...]:
    """Return the full names of all that may be modules in the imports of a source."""
    every: dict[str, None] = {}
    for node in ast.walk(_parsed(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")  # `import a.b` runs a, too
            every.update(dict.fromkeys(".".join(parts[: end + 1]) for end in range(len(parts))))
    return tuple(every)


def _text(module: ModuleType) -> str:
    path = Path(str(module.__file__))
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _read(path: Path, _modified: int, _size: int) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


@lru_cache(maxsize=1024)
def _without_comments(source: str) -> str:
    return ast.dump(_parsed(textwrap.dedent(source)))


def _parsed(source: str) -> ast.Module:
    with _PARSING:
        return ast.parse(source)
