"""Functions that read the values of their tensors, under torch's transformations: `torch.compile`, `torch.func`, fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from robustcheck.errors import RobustcheckError

Given = ParamSpec("Given")
Result = TypeVar("Result")


def reads_values(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Decorate a function that can't be traced: `torch.compile` calls it as it is, and tensors without values are refused.

    The call raises `RobustcheckError` where it fails on a tensor on the meta device, a fake or sparse one, or one inside
    `torch.func.vmap` or `torch.func.grad`. Whether there are values is asked only then, since that waits for the device.
    """

    @wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)  # type: ignore[no-untyped-call, no-any-return]
        try:
            return function(*args, **kwargs)
        except (RuntimeError, TypeError) as error:
            arguments = signature(function).bind(*args, **kwargs).arguments
            unreadable = [name for name, tensor in _tensors(arguments) if not _has_values(tensor)]
            if not unreadable:
                raise
            raise RobustcheckError(
                f"{unreadable[0]} must be a dense tensor whose values can be read, got one on the meta device, a fake or "
                "sparse one, or one inside torch.func (vmap, grad): call it with a whole batch, outside of these; "
                "torch.autograd.grad gives gradients"
            ) from error

    return call


def _tensors(arguments: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, value in arguments.items():
        if isinstance(value, dict):
            yield from _tensors(value)
        elif isinstance(value, Tensor):
            yield name, value


def _has_values(tensor: Tensor) -> bool:
    try:
        tensor.detach().flatten()[:1].float().cpu().numpy()
    except (RuntimeError, TypeError):
        return False
    return True
