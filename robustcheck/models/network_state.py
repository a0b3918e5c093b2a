"""Everything that a network's numbers depend on and that can be walked, as a digest: what cached records are kept under.

Instance attributes are walked by an allow-list of types: tensors, numbers, texts, containers, dataclasses, modules,
functions and what they close over. Code counts by the source of the modules of the project that it is in, and of those
that they import; that of installed packages by their version. What else there is can't be compared between runs, and
then there is no digest. What lies outside (files, the environment, globals that are set while it runs) is not seen.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

from robustcheck.errors import RobustcheckError
from robustcheck.models.own_code import is_own_module, module_of, source_of, sources_digest

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), range, slice, PurePath)
_TORCH_PLAIN = (torch.dtype, torch.device, torch.memory_format, torch.layout)
_NAMED = (
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType,
    types.GetSetDescriptorType, types.MemberDescriptorType, types.ClassMethodDescriptorType, np.ufunc,
)  # fmt: skip
_RECORDS = (types.SimpleNamespace, argparse.Namespace)
_LIBRARY_STATE = (
    "torch.nn.utils.",
    "torch.autograd.grad_mode",
    "torch.amp.",
    "transformers.configuration_utils",
)
"""Where classes of libraries are whose objects a network holds, and whose state is in their attributes."""
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_SKIPPED = {
    "training", "_modules", "_parameters", "_buffers", "_non_persistent_buffers_set", "_is_full_backward_hook",
    "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
}  # fmt: skip
"""What no logits depend on in eval mode, or what is walked otherwise."""
_CLASS_DETAILS = {"__module__", "__doc__", "__annotations__", "__qualname__", "__firstlineno__"}


_CLASS_MEMBERS = (
    types.FunctionType, staticmethod, classmethod, property, functools.cached_property,
    bool, int, float, str, tuple, list, dict, torch.Tensor, np.ndarray,
)  # fmt: skip
"""What counts of a class of the project besides its source: what its functions close over, and its settings."""


class UnknownState(RobustcheckError):  # noqa: N818 - it names what is unknown
    """State that can't be compared between runs: where it is, and of what type."""

    def __init__(self, path: str, value: object) -> None:
        kind = type(value)
        self.path: str = path
        self.kind: str = f"{kind.__module__}.{kind.__qualname__}"
        super().__init__(f"{path} is a {self.kind}")


def network_digest(module: nn.Module, run: Callable[[int], object]) -> str:
    """Return 32 hex digits over a network's state and code.

    `run` runs it on images, others for each number. Attributes that this changes are written by its own forward pass,
    and don't count. Raises UnknownState for what can't be compared.
    """
    run(1)
    before = _entries(module)
    run(2)
    after = _entries(module)
    stable = {path: text for path, text in before.items() if str(after.get(path)) == str(text)}
    for text in stable.values():
        if isinstance(text, UnknownState):
            raise text
    return _hash(*(f"{path}: {text}" for path, text in stable.items()))


def value_digest(value: object) -> str:
    """Return 32 hex digits over a value, of a function over what it does.

    Raises UnknownState for what can't be compared.
    """
    walk = _Walk({})
    text = walk.text(value, getattr(value, "__qualname__", type(value).__qualname__))
    return _hash(text, *walk.code())


def torch_flags() -> str:
    """Return torch's global settings that numbers depend on."""
    cuda = (torch.backends.cuda.matmul, torch.backends.cudnn)
    return ", ".join(
        [
            str(torch.get_default_dtype()),
            f"matmul precision {torch.get_float32_matmul_precision()}",
            f"tf32 {' '.join(str(each.allow_tf32) for each in cuda)}",
            f"deterministic {torch.are_deterministic_algorithms_enabled()} {torch.backends.cudnn.deterministic}",
            f"benchmark {torch.backends.cudnn.benchmark}",
            f"mkldnn {torch.backends.mkldnn.enabled}",
        ]
    )


def _entries(module: nn.Module) -> dict[str, str | UnknownState]:
    """Return the text of each attribute of each layer, by its path; of a dictionary, of each of its keys."""
    layers = {id(layer): name or "the network" for name, layer in module.named_modules()}
    walk = _Walk(layers)
    entries: dict[str, str | UnknownState] = {}
    for name, layer in module.named_modules():
        for path, value in _parts(name or type(module).__name__, layer):
            try:
                entries[path] = walk.text(value, path)
            except UnknownState as error:
                entries[path] = error
    entries["code"] = " ".join(walk.code())
    return entries


def _parts(name: str, layer: nn.Module) -> Iterator[tuple[str, Any]]:
    yield f"{name} (class)", type(layer)
    for key, tensor in [*layer._parameters.items(), *layer._buffers.items()]:  # noqa: SLF001 - also those in no state dict
        yield f"{name}.{key}", tensor
    if isinstance(layer, torch.jit.ScriptModule):
        yield f"{name} (graph)", str(layer.inlined_graph)
        return
    if isinstance(layer, torch.fx.GraphModule):
        yield f"{name} (graph)", layer.code
        return
    for key, value in vars(layer).items():
        if key in _HOOKS:
            for number, hook in enumerate(value.values()):
                yield f"{name}.{key}[{number}]", hook
        elif key not in _SKIPPED and type(value) is dict:
            yield f"{name}.{key}", "a dictionary"
            yield from ((f"{name}.{key}[{part!r}]", own) for part, own in value.items())
        elif key not in _SKIPPED:
            yield f"{name}.{key}", value


class _Walk:
    """A walk through values, noting the code that it meets."""

    def __init__(self, layers: Mapping[int, str]) -> None:
        self._layers = layers
        """The network's layers by identity, which are walked as such and else named."""
        self._texts: dict[int, tuple[Any, str]] = {}
        """By identity: the texts of functions and classes, and of what is being walked now, which may hold itself."""
        self._depth = 0
        self._modules: set[types.ModuleType] = set()
        self._packages: set[str] = set()

    def code(self) -> list[str]:
        """Return the digest of the project's code, and the versions of the packages, that were met."""
        return [
            sources_digest(self._modules),
            *(f"{name} {_version(name)}" for name in sorted(self._packages)),
        ]

    def text(self, value: Any, path: str) -> str:
        """Return a text that is equal for equal values, in every process; raises UnknownState."""
        if isinstance(value, Enum):
            return f"{self.name(type(value), path)}.{value.name}"
        if type(value) in _PLAIN or isinstance(value, (PurePath, *_TORCH_PLAIN)):
            return f"{type(value).__name__} {value!r}"
        if isinstance(value, torch.Tensor | np.ndarray | np.generic):
            return self._array(value, path)
        if id(value) in self._layers:
            return f"layer {self._layers[id(value)]}"
        if id(value) in self._texts:
            return self._texts[id(value)][1]
        self._texts[id(value)] = value, f"itself, {self._depth} levels in"
        self._depth += 1
        try:
            make = next((make for kinds, make in _BY_TYPE if isinstance(value, kinds)), _attributes_text)
            text = make(self, value, path)
        finally:
            self._depth -= 1
            del self._texts[id(value)]
        if isinstance(value, type | types.FunctionType):
            self._texts[id(value)] = value, text
        return text

    def joined(self, kind: str, parts: Iterable[tuple[str, Any]]) -> str:
        return f"{kind}({', '.join(self.text(part, path) for path, part in parts)})"

    def kind(self, value: Any, path: str) -> str:
        return self.name(type(value), path)

    def _array(self, value: Any, path: str) -> str:
        try:
            if isinstance(value, torch.Tensor):
                layout = f"{value.dtype} {tuple(value.shape)} {value.stride()}"
                data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
            else:
                layout = f"{value.dtype.str} {value.shape} {value.strides}"
                if value.dtype.hasobject:
                    raise UnknownState(path, value)
                data = np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        except (RuntimeError, TypeError, ValueError):  # sparse, quantised, on the meta device
            raise UnknownState(path, value) from None
        return f"{layout} {hashlib.blake2b(data, digest_size=16).hexdigest()}"

    def name(self, value: Any, path: str) -> str:
        """Return the name of a class, function or module, having noted its code."""
        module = module_of(value)
        name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', getattr(value, '__name__', ''))}"
        if module is not None and is_own_module(module):
            self._modules.add(module)
        elif module is None or not (getattr(module, "__file__", None) or _is_builtin(module)):
            if (source := source_of(value)) is None:
                raise UnknownState(f"{path} (code without a file of source)", value)
            return f"{name} {source}"
        else:
            self._packages.add(module.__name__.partition(".")[0])
        return name

    def is_own(self, value: Any) -> bool:
        module = module_of(value)
        return module is None or is_own_module(module) or module.__name__ == "__main__"


# What is made of values that hold others, by type; the first that fits.


def _sequence(walk: _Walk, value: Any, path: str) -> str:
    parts = ((f"{path}[{at}]", part) for at, part in enumerate(value))
    return walk.joined(walk.kind(value, path), [*parts, *_own_attributes(value, path)])


def _mapping(walk: _Walk, value: Any, path: str) -> str:
    parts = ((f"{path}[{key!r}]", (key, own)) for key, own in value.items())
    return walk.joined(walk.kind(value, path), [*parts, *_own_attributes(value, path)])


def _own_attributes(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a container of a class with attributes of its own."""
    yield from ((f"{path}.{key}", own) for key, own in getattr(value, "__dict__", {}).items())


def _set(walk: _Walk, value: Any, path: str) -> str:
    return f"{type(value).__name__} {sorted(walk.text(part, path) for part in value)}"


def _network(walk: _Walk, value: nn.Module, path: str) -> str:
    """Of a network that the network holds, but not as a child."""
    layers = value.named_modules()
    return walk.joined(
        "network", ((f"{path}: {own}", part) for name, layer in layers for own, part in _parts(name, layer))
    )


def _named(walk: _Walk, value: Any, path: str) -> str:
    if isinstance(value, types.ModuleType):
        return walk.name(value, path)
    return f"built in {getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value)}"


def _wrapper(walk: _Walk, value: Any, path: str) -> str:
    """Of what wraps functions and their arguments."""
    names = ("func", "args", "keywords", "__func__", "__self__", "__wrapped__", "fget", "fset")
    parts = [(path, getattr(value, name)) for name in names if hasattr(value, name)]
    return walk.joined(type(value).__name__, parts)


def _attributes_text(walk: _Walk, value: Any, path: str) -> str:
    """Of objects whose state is in their attributes; raises UnknownState for any other."""
    of_a_library = any(each.__module__.startswith(_LIBRARY_STATE) for each in type(value).__mro__)
    if not (is_dataclass(value) or isinstance(value, _RECORDS) or of_a_library):
        raise UnknownState(path, value)
    return walk.joined(
        walk.kind(value, path), ((f"{path}.{key}", own) for key, own in sorted(_state(value).items()))
    )


def _class(walk: _Walk, value: type, path: str) -> str:
    names = [walk.name(each, path) for each in value.__mro__[:-1]]
    own = [each for each in value.__mro__ if walk.is_own(each)]
    members = [
        (f"{each.__qualname__}.{key}", part)
        for each in own
        for key, part in vars(each).items()
        if key not in _CLASS_DETAILS and isinstance(part, _CLASS_MEMBERS)
    ]
    return walk.joined(f"class {names}", members)


def _function(walk: _Walk, value: types.FunctionType, path: str) -> str:
    name = walk.name(value, path)
    is_known_by_name = not walk.is_own(value) and "<" not in value.__qualname__  # <lambda>, <locals>
    if is_known_by_name and not value.__closure__:
        return f"function {name}"
    parts: list[tuple[str, Any]] = [(path, value.__defaults__), (path, value.__kwdefaults__)]
    if not name.startswith("torch."):
        parts += [
            (f"{path}, which closes over {variable}", cell.cell_contents)
            for variable, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
            if _is_filled(cell)
        ]
    code = "" if is_known_by_name else _instructions(value.__code__)  # of two functions of one name in a file
    return walk.joined(f"function {name} {code}", parts)


def _instructions(code: types.CodeType) -> str:
    """Return what tells a function from another of the same name in the same file."""
    constants = [
        _instructions(each)
        if isinstance(each, types.CodeType)
        else repr(sorted(map(repr, each)) if isinstance(each, frozenset) else each)
        for each in code.co_consts
    ]
    return f"{hashlib.blake2b(code.co_code, digest_size=8).hexdigest()} {code.co_names} {constants}"


def _state(value: Any) -> dict[str, Any]:
    slots: Sequence[str] = [name for each in type(value).__mro__ for name in getattr(each, "__slots__", ())]
    return {
        **{name: getattr(value, name) for name in slots if hasattr(value, name)},
        **getattr(value, "__dict__", {}),
    }


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _is_builtin(module: types.ModuleType) -> bool:
    spec = getattr(module, "__spec__", None)
    return spec is not None and module.__name__ != "__main__"


def _version(package: str) -> str:
    return str(getattr(sys.modules.get(package), "__version__", ""))


def _hash(*texts: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(text.encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()


_WRAPPERS = (
    functools.partial, functools.cached_property, types.MethodType, staticmethod, classmethod, property,
    type(functools.lru_cache(len)),
)  # fmt: skip
_BY_TYPE: tuple[tuple[Any, Callable[[_Walk, Any, str], str]], ...] = (
    ((tuple, list, deque), _sequence),
    ((dict, types.MappingProxyType), _mapping),
    ((set, frozenset), _set),
    (nn.Module, _network),
    (type, _class),
    (types.FunctionType, _function),
    (_WRAPPERS, _wrapper),
    ((types.ModuleType, *_NAMED), _named),
    ((torch._ops.OpOverload, torch._ops.OpOverloadPacket), lambda _walk, value, _path: f"operator {value}"),  # noqa: SLF001 - they have no public name
    (torch.jit.ScriptFunction, lambda _walk, value, _path: f"script {value.graph}"),
)
