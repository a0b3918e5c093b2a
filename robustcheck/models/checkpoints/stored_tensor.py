"""Tensors of a checkpoint as the file describes them, checked before any memory is allocated for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from robustcheck.limits import excess

_DEEPEST = 16


class BadCheckpoint(Exception):  # noqa: N818 - it is turned into a RobustcheckError that names the file
    """What a file holds can't be weights; the message is the end of a sentence that names the file."""


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file: its key there, and its size in bytes."""

    key: str
    size: int


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor in a file: where its numbers are, and how they are laid out. `kind` is "" for ordinary ones."""

    storage: Storage | None
    dtype: torch.dtype | None
    shape: tuple[int, ...]
    stride: tuple[int, ...] = ()
    offset: int = 0
    kind: str = field(default="", kw_only=True)

    def check(self) -> None:
        """Raise BadCheckpoint unless the tensor lies within its storage."""
        if self.kind or self.storage is None or self.dtype is None:
            return
        if not all(type(n) is int and n >= 0 for n in (*self.shape, *self.stride, self.offset)):
            raise BadCheckpoint("holds a tensor whose shape, strides and offset are not integers >= 0")
        if len(self.shape) != len(self.stride) or len(self.shape) > 64:
            raise BadCheckpoint("holds a tensor whose shape and strides differ in length")
        count = math.prod(self.shape)
        if count:
            reach = self.offset + 1 + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
            if reach * self.dtype.itemsize > self.storage.size:
                raise BadCheckpoint(f"holds a tensor of shape {self.shape} of which it has only a part")
        elif max(self.shape) >= 2**62:
            raise BadCheckpoint(f"holds a tensor of shape {self.shape}, which no tensor can have")
        declared = count * self.dtype.itemsize
        if declared > self.storage.size and (beyond := excess("repeated-bytes", declared)):
            raise BadCheckpoint(f"holds a tensor of shape {self.shape} that repeats few numbers to {beyond}")

    def load(self, read: Callable[[Storage], torch.Tensor]) -> torch.Tensor:
        """Return the tensor; `read` returns the bytes of a storage as a uint8 tensor."""
        if self.kind or self.storage is None or self.dtype is None:
            raise BadCheckpoint(f"holds a tensor that is {self.kind}, and weights must be ordinary tensors")
        if not math.prod(self.shape):
            return torch.empty(self.shape, dtype=self.dtype)
        numbers = read(self.storage)
        whole = len(numbers) // self.dtype.itemsize * self.dtype.itemsize
        return numbers[:whole].view(self.dtype).as_strided(self.shape, self.stride, self.offset)


def loaded(value: Any, read: Callable[[Storage], torch.Tensor], depth: int = 0) -> Any:
    """Return plain data with its stored tensors loaded; for extra state, which may hold some."""
    if isinstance(value, StoredTensor):
        return value.load(read)
    if not isinstance(value, (dict, list, tuple)):
        return value
    if depth > _DEEPEST:
        raise BadCheckpoint(f"holds extra state that nests more than {_DEEPEST} deep")
    if isinstance(value, dict):
        return {key: loaded(inner, read, depth + 1) for key, inner in value.items()}
    return type(value)(loaded(inner, read, depth + 1) for inner in value)
