"""The graph of an exported program, as JSON: every text in it is checked, or left out where torch does not need it."""

from __future__ import annotations

import json
import re
from typing import Any

import torch

from robustcheck.models.programs.expressions import is_expression
from robustcheck.models.programs.operators import is_allowed

_NAME = re.compile(r"(?!__)\w+(?:\.(?!__)\w+)*", re.ASCII)
# A layer's: it never stands in the source that torch writes for a graph without quotes, so it may hold a hyphen.
_PATH = re.compile(r"(?!__)[\w-]+(?:\.(?!__)[\w-]+)*", re.ASCII)
_PATHS = frozenset({"parameter_name", "buffer_name", "tensor_constant_name", "fqn"})
_PLAIN = re.compile(r"[ -~]{0,200}", re.ASCII)
_DEVICE = re.compile(r"[a-z]{1,16}", re.ASCII)
_DEEPEST = 60
_LARGEST = 2**63
_CONTAINERS = frozenset({"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})
_SEQUENCES = ("builtins.tuple", "builtins.list")
# Where torch imports, compiles or calls what a text says; none of it is needed to run the graph.
_LEFT_OUT: dict[str, Any] = {"metadata": {}, "guards_code": [], "treespec_namedtuple_fields": {}}
_REFUSED = {
    "as_graph": "a graph inside the graph (a higher-order operator)",
    "as_operator": "an operator as a value",
    "as_custom_obj": "a custom object",
    "custom_obj": "a custom object",
    "as_string_to_argument": "a dictionary of arguments",
    "token": "a token of effects",
}


class NotData(Exception):  # noqa: N818 - it is turned into a RobustcheckError that names the file
    """What an archive holds can't be checked; the message is the end of a sentence: "it holds ..."."""


def checked(value: Any, key: str = "", depth: int = 0) -> Any:
    """Return a part of the graph, without what is left out; `key` is what it stands under.

    Raises NotData for a text that is not a name, an expression, an allowed operator or a plain constant in its place.
    """
    if depth > _DEEPEST:
        raise NotData(f"a graph that nests more than {_DEEPEST} deep")
    if isinstance(value, dict):
        return {_key(name): _entry(name, inner, depth) for name, inner in value.items()}
    if isinstance(value, list):
        return [checked(inner, key, depth + 1) for inner in value]
    if isinstance(value, str):
        return _text(value, key)
    if type(value) is int and abs(value) >= _LARGEST:
        raise NotData("an integer of more than 64 bits")
    return value


def _key(name: Any) -> str:
    return _name(name, _PATH) if name else ""


def _entry(name: str, value: Any, depth: int) -> Any:
    if name in _LEFT_OUT:
        return _LEFT_OUT[name]
    if name in _REFUSED and value:
        raise NotData(_REFUSED[name])
    if name == "device" and isinstance(value, dict):
        return _device(value)
    return checked(value, name, depth + 1)


def _text(text: str, key: str) -> str:
    if key == "expr_str":
        return _expression(text)
    if key == "target":
        if not is_allowed(text):
            raise NotData(
                f"the operator {text[:80]!r}, which is not on the list of operators without side effects"
            )
        return text
    if key in {"in_spec", "out_spec"}:
        return _containers(text)
    if key in {"as_string", "as_strings"}:
        if not _PLAIN.fullmatch(text):
            raise NotData("a text that is not short and plain")
        return text
    if key == "torch_version":
        return text if _PLAIN.fullmatch(text) else "unknown"
    return _name(text, _PATH if key in _PATHS else _NAME) if text else ""


def _expression(text: str) -> str:
    if not is_expression(text):
        raise NotData(f"the size {text[:80]!r}, which is not an expression over sizes")
    return text


def _name(text: Any, pattern: re.Pattern[str] = _NAME) -> str:
    if not isinstance(text, str) or len(text) > 1000 or not pattern.fullmatch(text):
        raise NotData(f"the name {str(text)[:80]!r}")
    return text


def _device(value: dict[str, Any]) -> dict[str, Any]:
    """Return a device; that of a machine with CUDA becomes the CPU where there is none."""
    kind, index = value.get("type"), value.get("index")
    if not isinstance(kind, str) or not _DEVICE.fullmatch(kind) or not (index is None or type(index) is int):
        raise NotData(f"the device {str(kind)[:40]!r}")
    if kind == "cuda" and torch.cuda.is_available():
        return {"type": kind, "index": index}
    return {"type": "meta" if kind == "meta" else "cpu", "index": None}


def _containers(text: str) -> str:
    """Return how arguments and results nest; a class of results, such as transformers', becomes a dictionary."""
    if not text:
        return ""
    try:
        protocol, tree = json.loads(text)
        spec = json.dumps([int(protocol), _container(tree)])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise NotData("a description of its results that can't be read") from None
    return spec


def _container(tree: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    kind, context, inner = tree["type"], tree["context"], tree["children_spec"]
    if depth > _DEEPEST or not isinstance(inner, list):
        raise NotData("a description of its results that nests too deep")
    children = [_container(child, depth + 1) for child in inner]
    if kind is None and context is None and not children:
        return {"type": None, "context": None, "children_spec": []}
    if kind in _SEQUENCES:
        return {"type": kind, "context": "null", "children_spec": children}
    keys = json.loads(context) if isinstance(context, str) else None
    if (
        not isinstance(keys, list)
        or len(keys) != len(children)
        or not all(type(key) in {str, int} for key in keys)
    ):
        raise NotData(f"results of the kind {str(kind)[:80]!r}")
    kind = kind if kind in _CONTAINERS else "builtins.dict"
    return {"type": kind, "context": json.dumps(keys), "children_spec": children}
