"""Random numbers by counter: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3").

A number depends on its row's seed and its place in the row alone, so a batch may be cut anywhere, and CPU and CUDA draw
the same: all of it is integer arithmetic, and a table. `tl.randint4x(seed, offset)` of Triton is the same function.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from robustcheck.models import send

Words = tuple[Tensor, Tensor, Tensor, Tensor]

_MASK = 0xFFFFFFFF
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_AT_ONCE = {"cpu": 1 << 16}
"""Counters at once, by kind of device: on CPU as many as its cache holds."""
_AT_ONCE_ELSEWHERE = 1 << 22
_TABLE_BITS = 16


def philox(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Return four random words for each counter: int64 tensors that hold unsigned 32-bit values, as the arguments do."""
    c0, c1, c2, c3, k0, k1 = torch.broadcast_tensors(*counter, *key)  # type: ignore[no-untyped-call]
    for _ in range(_ROUNDS):
        # The 64-bit products may wrap around into the sign; the shift copies it, and the mask takes that away.
        even, odd = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c2 = odd >> 32, even >> 32
        c0.bitwise_xor_(c1).bitwise_xor_(k0).bitwise_and_(_MASK)
        c2.bitwise_xor_(c3).bitwise_xor_(k1).bitwise_and_(_MASK)
        c1, c3 = odd, even  # of which the lower halves count
        k0, k1 = k0 + _KEY_STEPS[0] & _MASK, k1 + _KEY_STEPS[1] & _MASK
    return c0, c1 & _MASK, c2, c3 & _MASK


def random_words(seeds: Sequence[int], count: int, device: torch.device) -> Tensor:
    """Return random words, each row from its own seed (its lowest 64 bits): int64 (rows, count) in 0..2**32 - 1.

    Counter i gives the words i, i + m, i + 2m and i + 3m of a row, where m is a quarter of `count`, rounded up.
    """
    blocks = -(-count // 4)
    words = [[seed & _MASK, seed >> 32 & _MASK] for seed in seeds]
    keys = send(torch.tensor(words, dtype=torch.int64, device="cpu").view(-1, 2), device)
    counter = torch.arange(blocks, device=device)[None]
    rows = max(1, _AT_ONCE.get(device.type, _AT_ONCE_ELSEWHERE) // max(blocks, 1))
    parts = [torch.cat(_blocks(counter, part), dim=1) for part in torch.split(keys, rows)]
    return torch.cat(parts)[:, :count]


def uniforms(seeds: Sequence[int], count: int, device: torch.device) -> Tensor:
    """Return multiples of 2**-24 from 0 to below 1: float32 (rows, count)."""
    return (random_words(seeds, count, device) >> 8).to(torch.float32) * 2.0**-24


def signs(seeds: Sequence[int], count: int, device: torch.device) -> Tensor:
    """Return -1 and 1: int8 (rows, count)."""
    octets = random_words(seeds, -(-count // 32), device).to(torch.int32).view(torch.uint8)
    bits = octets[:, :, None] >> torch.arange(8, dtype=torch.uint8, device=device) & 1
    return bits.flatten(1)[:, :count].to(torch.int8) * 2 - 1


def normals(seeds: Sequence[int], count: int, device: torch.device) -> Tensor:
    """Return normally distributed numbers, in 65,536 steps of equal probability up to 4.3: float32 (rows, count)."""
    return _quantiles(device)[random_words(seeds, count, device) >> 32 - _TABLE_BITS]


def permutations(seeds: Sequence[int], count: int, device: torch.device) -> Tensor:
    """Return 0..count - 1 in random order, sorted by 64-bit keys and, where two are equal, by themselves: int64 (rows, count)."""
    words = random_words(seeds, 2 * count, device)
    keys = (words[:, :count] << 32).add_(words[:, count:])
    if device.type == "cpu":  # which sorts by radix, a tenth of the time, but single rows
        return torch.stack([key.sort(stable=True).indices for key in keys])
    order: Tensor = keys.sort(dim=1, stable=True).indices
    return order


def _blocks(counter: Tensor, keys: Tensor) -> Words:
    zero = torch.zeros_like(counter)
    return philox((counter, zero, zero, zero), (keys[:, :1], keys[:, 1:]))


@lru_cache(maxsize=8)
def _quantiles(device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):
        middles = (torch.arange(1 << _TABLE_BITS, dtype=torch.float64, device="cpu") + 0.5) / (
            1 << _TABLE_BITS
        )
        return send(torch.special.ndtri(middles).to(torch.float32), device)
