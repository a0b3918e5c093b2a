"""A random part of an image set, by a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


def some(total: int, count: int, seed: int) -> Positions:
    """`count` of `total` positions, each set of them equally likely, in order."""
    return np.sort(np.random.default_rng(seed).permutation(total)[:count]).astype(np.int64)


def some_of_each_class(labels: NDArray[np.int64], count: int, seed: int) -> Positions:
    """`count` positions in which each class has its share of all, to the nearest whole image, in order.

    Where shares are not whole, the largest remainders get one more; among equal ones the seed decides. With
    at least as many images asked for as there are classes, none is left without.
    """
    random = np.random.default_rng(seed)
    classes, sizes = np.unique(labels, return_counts=True)
    quotas = _quotas(sizes, count, random)
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, quotas, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _quotas(sizes: NDArray[np.int64], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    exact = sizes * count / sizes.sum()
    quotas: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    order = random.permutation(len(sizes))  # ties by chance
    order = order[np.argsort(-(exact - quotas)[order], kind="stable")]
    quotas[order[: count - quotas.sum()]] += 1
    if count >= len(sizes):
        while (without := np.flatnonzero(quotas == 0)).size:
            quotas[without[0]] += 1
            quotas[np.argmax(quotas)] -= 1
    return quotas
