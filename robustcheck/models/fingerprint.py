"""A short name for exactly these weights."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from robustcheck.models.preprocessing import Preprocessing


def fingerprint(module: nn.Module, preprocessing: Preprocessing) -> str:
    """Return 16 hex digits over a network's layers and tensors and its preprocessing.

    Layers count by name and class, tensors by name, shape, dtype and value. The same network has the same
    fingerprint on every device and in every process.
    """
    digest = hashlib.sha256(repr(preprocessing).encode())
    for name, layer in module.named_modules():
        digest.update(f"\n{name}: {type(layer).__qualname__}".encode())
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(f"\n{name}: {tuple(value.shape)} {value.dtype}\n".encode())
            digest.update(_bytes_of(value))
        else:  # what get_extra_state returned has no canonical bytes
            digest.update(f"\n{name}: {type(value).__qualname__}".encode())
    return digest.hexdigest()[:16]


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    flat = tensor.detach().cpu().reshape(-1)  # in index order, whatever the memory format
    return flat.view(torch.uint8).numpy().data
