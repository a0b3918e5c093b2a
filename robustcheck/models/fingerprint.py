"""A short name for exactly these weights."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from robustcheck.models.network_state import UnknownState, value_digest
from robustcheck.models.preprocessing import Preprocessing


def fingerprint(module: nn.Module, preprocessing: Preprocessing, output: int | str | None = None) -> str:
    """Return 16 hex digits over a network's layers and tensors, its preprocessing and the part that is its output.

    Layers count by name and class, but for `Identity`, which does nothing; all that is in the state dict counts: tensors
    by name, shape, dtype and value, and what layers add to it (`get_extra_state`) by its value. The same network has
    the same fingerprint on every device and in every process.
    """
    digest = hashlib.sha256(repr(preprocessing).encode())
    if output is not None:  # of which part of what the network returns
        digest.update(f"\noutput: {output!r}".encode("utf-8", "backslashreplace"))
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Identity):
            continue
        digest.update(f"\n{name}: {type(layer).__qualname__}".encode())
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(f"\n{name}: {tuple(value.shape)} {value.dtype}\n".encode())
            digest.update(_bytes_of(value))
        else:  # what get_extra_state returned
            digest.update(f"\n{name}: {_text(value)}".encode("utf-8", "backslashreplace"))
    return digest.hexdigest()[:16]


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    flat = tensor.detach().cpu().reshape(-1)  # in index order, whatever the memory format
    return flat.view(torch.uint8).numpy().data


def _text(value: object) -> str:
    try:
        return value_digest(value)
    except UnknownState as error:  # its type is all that can be said of it
        return error.kind
