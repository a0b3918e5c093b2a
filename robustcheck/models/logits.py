"""The logits in what a network returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from robustcheck.text import listed

_NAMES = ("logits", "logit")  # which frameworks use for nothing else
_DEEPEST = 4


def logits_in(output: Any, count: int, which: int | str | None = None) -> torch.Tensor | None:
    """Return the logits of `count` images in a network's output, or None if they can't be identified.

    A tensor is taken as it is. `which` is the place in a tuple or list, or the name in a dictionary, dataclass or named
    tuple. Without it the part called logits is taken, else the only part that may be logits: a float tensor (N, classes).
    """
    if which is not None:
        parts = _parts(output)
        return None if parts is None else logits_in(parts.get(str(which)), count)
    if isinstance(output, torch.Tensor):
        return output
    found = {id(part): part for part in _candidates(output, count, 2)}
    found = found or {id(part): part for part in _candidates(output, count, 1)}  # of a binary network
    return next(iter(found.values())) if len(found) == 1 else None


def _candidates(output: Any, count: int, fewest: int, depth: int = 0) -> Iterator[torch.Tensor]:
    """Yield what may be the logits in an output: a part called so, or every part of their shape, nested ones too.

    `fewest` is how many classes there are at least.
    """
    if _may_be_logits(output, count, fewest):
        yield output
    parts = _parts(output) if depth < _DEEPEST else None
    named = [parts[name] for name in _NAMES if isinstance(parts.get(name), torch.Tensor)] if parts else []
    if named:
        yield named[0]
        return
    for part in (parts or {}).values():
        yield from _candidates(part, count, fewest, depth + 1)


def _parts(output: Any) -> Mapping[str, Any] | None:
    """Return the parts of an output by name, or by place; None if it has none."""
    if isinstance(output, Mapping):
        return {str(key): value for key, value in output.items()}
    if is_dataclass(output) and not isinstance(output, type):
        return {field.name: getattr(output, field.name) for field in fields(output)}
    if isinstance(output, tuple) and hasattr(output, "_asdict"):
        named: Mapping[str, Any] = output._asdict()
        return named
    if isinstance(output, (tuple, list)):
        return {str(index): part for index, part in enumerate(output)}
    if isinstance(getattr(output, "logits", None), torch.Tensor):
        return {"logits": output.logits}
    return None


def access_to(part: torch.Tensor, output: Any, depth: int = 0) -> str:
    """Return what stands behind a network's output in Python to get a part of it, such as `[0]` or `.logits`."""
    if part is output or depth > _DEEPEST:
        return ""
    is_indexed = isinstance(output, Mapping | list) or (
        isinstance(output, tuple) and not hasattr(output, "_asdict")
    )
    keys = output if isinstance(output, Mapping) else range(len(output)) if is_indexed else ()
    named = _parts(output) or {}
    steps = (f"[{key!r}]" for key in keys) if is_indexed else (f".{name}" for name in named)
    for step, inner in zip(steps, named.values(), strict=True):
        found = access_to(part, inner, depth + 1)
        if inner is part or found:
            return step + found
    return ""


def described(output: Any) -> str:
    """Describe what a network returned, for an error: its type and its parts."""
    name = type_name(output)
    parts = _parts(output)
    if not parts:
        return name
    return f"{name} with {listed((f'{key}: {_shape(part)}' for key, part in parts.items()), 6)}"


def type_name(value: object) -> str:
    """Return the name of a value's type, with its module if it is not a built-in."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _may_be_logits(part: Any, count: int, fewest: int) -> bool:
    return (
        isinstance(part, torch.Tensor)
        and part.ndim == 2
        and len(part) == count
        and part.is_floating_point()
        and part.shape[1] >= fewest
    )


def _shape(part: Any) -> str:
    return str(tuple(part.shape)) if isinstance(part, torch.Tensor) else type(part).__name__
