"""The logits in what a network returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from robustcheck.text import listed

_NAMES = ("logits", "logit", "scores", "output", "out", "pred", "predictions")


def logits_in(output: Any, count: int) -> torch.Tensor | None:
    """Return the logits of `count` images in a network's output, or None if they can't be identified.

    A tensor is taken as it is. Of a dictionary, dataclass or named tuple it is the part called logits (or a
    usual word for them), else the only part of their shape; of another tuple or list the first part, since
    networks return auxiliary heads after it.
    """
    if isinstance(output, torch.Tensor):
        return output
    parts = _named_parts(output)
    if parts is None:
        return logits_in(output[0], count) if isinstance(output, (tuple, list)) and output else None
    for name in _NAMES:
        if isinstance(parts.get(name), torch.Tensor):
            return parts[name]  # type: ignore[no-any-return] # what it was just seen to be
    shaped = [part for part in parts.values() if _may_be_logits(part, count)]
    return shaped[0] if len(shaped) == 1 else None


def described(output: Any) -> str:
    """Describe what a network returned, for an error: its type and its parts."""
    name = type_name(output)
    parts = _named_parts(output)
    if parts is None and isinstance(output, (tuple, list)):
        parts = {str(index): part for index, part in enumerate(output)}
    if not parts:
        return name
    return f"{name} with {listed((f'{key}: {_shape(part)}' for key, part in parts.items()), 6)}"


def type_name(value: object) -> str:
    """Return the name of a value's type, with its module if it is not a built-in."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _named_parts(output: Any) -> Mapping[str, Any] | None:
    if isinstance(output, Mapping):
        return {str(key): value for key, value in output.items()}
    if is_dataclass(output) and not isinstance(output, type):
        return {field.name: getattr(output, field.name) for field in fields(output)}
    if isinstance(output, tuple) and hasattr(output, "_asdict"):
        named: Mapping[str, Any] = output._asdict()
        return named
    if not isinstance(output, (tuple, list)) and isinstance(getattr(output, "logits", None), torch.Tensor):
        return {"logits": output.logits}
    return None


def _may_be_logits(part: Any, count: int) -> bool:
    return (
        isinstance(part, torch.Tensor)
        and part.ndim == 2
        and len(part) == count
        and part.is_floating_point()
        and part.shape[1] > 1
    )


def _shape(part: Any) -> str:
    return str(tuple(part.shape)) if isinstance(part, torch.Tensor) else type(part).__name__
