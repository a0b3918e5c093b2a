"""A digest of what a function or a network does: bytecode, and that of the project's own functions it calls.

Weights say nothing of a forward pass that was edited, or of a layer's settings. Comments and line numbers do not
count; constants, defaults, closures and the globals that the code names do. Of well-known libraries and the standard
library the version is all that counts, and is noted elsewhere.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

LIBRARIES = ("torch", "torchvision", "timm", "transformers", "numpy", "scipy", "PIL", "robustcheck")
"""Known by their versions."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), torch.dtype, torch.device, Enum)
_OF_A_LAYER = (*_PLAIN, tuple, FunctionType, MethodType, partial)
"""Attributes that count; a layer's lists and dictionaries are its memory as often as its settings."""
_PYTHON_S_OWN = {"__module__", "__dict__", "__weakref__", "__doc__", "__annotations__", "_abc_impl"}
_BEGINS = ("__dataclass_", "__first", "__static", "__orig", "__param", "__annot")


def digest_of(function: Callable[..., Any]) -> str | None:
    """Return a digest of what a function does, or None where it depends on what no digest can be made of."""
    digest = _Digest()
    digest.add(function)
    text = digest.finish()
    return None if digest.unknown else text


def digest_of_module(module: nn.Module) -> str:
    """Return a digest of a network's code and settings: its layers' classes, and their attributes that are plain.

    Weights are left to the fingerprint. What no digest can be made of is passed over.
    """
    digest = _Digest(of_network=True)
    digest.add_network(module)
    return digest.finish()


class _Digest:
    """A digest on its way."""

    def __init__(self, *, of_network: bool = False) -> None:
        self._of_network = of_network
        self.unknown: set[str] = set()
        """The kinds of values that no digest can be made of."""
        self._hash = hashlib.blake2b(".".join(platform.python_version_tuple()[:2]).encode(), digest_size=8)
        self._seen: dict[int, Any] = {}  # the values too, or another could come to have the same id
        self._waiting: deque[Any] = deque()

    def finish(self) -> str:
        """Return 16 hex digits over all that was added and all that it leads to."""
        while self._waiting:
            self._add_code(self._waiting.popleft())
        return self._hash.hexdigest()

    def add(self, value: Any) -> None:
        """Take in a value: a plain one, an array, a network, code, or a collection of them."""
        if isinstance(value, _PLAIN):
            self._note(repr(value))
        elif isinstance(value, torch.Tensor | np.ndarray):
            self._add_array(value)
        elif isinstance(value, Sequence):
            self._note(f"{len(value)} in order")
            self._add_all(value)
        elif isinstance(value, dict):
            self._note(f"{len(value)} by key")
            self._add_all(part for pair in value.items() for part in pair)
        elif isinstance(value, set | frozenset):
            self._note(repr(sorted(map(repr, value))))
        elif id(value) not in self._seen:
            self._seen[id(value)] = value
            self._waiting.append(value)

    def add_network(self, module: nn.Module) -> None:
        """Take in a network but for its tensors."""
        for name, layer in module.named_modules():
            own = {key: value for key, value in vars(layer).items() if isinstance(value, _OF_A_LAYER)}
            own.pop("training", None)
            hooks = (*layer._forward_pre_hooks.values(), *layer._forward_hooks.values())  # noqa: SLF001 - no public way
            self._add_all([name, type(layer), dict(sorted(own.items())), hooks])

    def _add_all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.add(value)

    def _add_array(self, array: torch.Tensor | np.ndarray[Any, Any]) -> None:
        self._note(f"{array.dtype} {tuple(array.shape)}")
        if isinstance(array, torch.Tensor):
            array = array.detach().cpu().reshape(-1).view(torch.uint8).numpy()
        self._hash.update(np.ascontiguousarray(array).tobytes())

    def _add_code(self, value: Any) -> None:
        if isinstance(value, nn.Module):
            self.add_network(value)
            self.add(dict(value.state_dict()))
        elif isinstance(value, partial):
            self._add_all([value.func, value.args, value.keywords])
        elif (isinstance(value, type | ModuleType) or hasattr(value, "__qualname__")) and _is_known(value):
            self._note(f"{_module_of(value)}.{getattr(value, '__qualname__', '')}")
        elif isinstance(value, FunctionType):
            self._add_function(value)
        elif isinstance(value, MethodType):
            self._add_all([value.__func__, value.__self__])
        elif isinstance(value, type):
            self._add_all([value.__qualname__, *value.__mro__[1:], *_members(value)])
        elif isinstance(value, staticmethod | classmethod):
            self.add(value.__func__)
        elif isinstance(value, property):
            self._add_all([value.fget, value.fset])
        elif hasattr(value, "__wrapped__"):
            self.add(value.__wrapped__)
        else:
            self.unknown.add(type(value).__qualname__)
            self._note(type(value).__qualname__)

    def _add_function(self, function: FunctionType) -> None:
        for code in _codes(function.__code__):
            self._note(f"{code.co_code.hex()} {code.co_names} {code.co_varnames}")
            self._add_all(constant for constant in code.co_consts if not isinstance(constant, CodeType))
        self._add_all([function.__defaults__, function.__kwdefaults__])
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # one that is not filled yet
                content = cell.cell_contents
                # A network's hook that counts changes its closure as the network runs.
                is_memory = self._of_network and isinstance(content, list | dict | set)
                self.add(type(content).__name__ if is_memory else content)
        self._add_all(_named_globals(function))

    def _note(self, text: str) -> None:
        self._hash.update(text.encode("utf-8", "backslashreplace") + b"\n")


def _is_known(value: Any) -> bool:
    """Whether a function, class or module is of a library whose version is enough to know."""
    top = _module_of(value).partition(".")[0]
    return top in LIBRARIES or (top in sys.stdlib_module_names and top != "__main__")


def _module_of(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    return getattr(value, "__module__", None) or type(value).__module__


def _members(kind: type) -> Iterator[Any]:
    for name, value in sorted(vars(kind).items(), key=lambda pair: pair[0]):
        if name not in _PYTHON_S_OWN and not name.startswith(_BEGINS):
            yield name
            yield value


def _named_globals(function: FunctionType) -> Iterator[Any]:
    """Yield the globals that a function's code names, and what it names of the project's own modules."""
    names = sorted({name for code in _codes(function.__code__) for name in code.co_names})
    for name in names:
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        if not isinstance(value, ModuleType):
            yield value
        elif not _is_known(value):
            yield from (getattr(value, other) for other in names if hasattr(value, other))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
