"""A random subset of an image set, by a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robustcheck.errors import RobustcheckError

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """A number of images to draw without replacement, by `seed`; `stratified` draws each class's share."""

    count: int
    seed: int = 0
    stratified: bool = False


def draw_uniform(total: int, count: int, seed: int) -> Positions:
    """Draw `count` of `total` positions, each set of them equally likely, in order."""
    return np.sort(np.random.default_rng(seed).permutation(total)[:count]).astype(np.int64)


def draw_stratified(labels: NDArray[np.int64], count: int, seed: int) -> Positions:
    """Draw `count` positions in which each class has its share of all, to the nearest image, in order.

    Where shares are fractions, the largest remainders get one more image; the seed breaks ties. If `count` is
    at least the number of classes, every class gets an image.
    """
    random = np.random.default_rng(seed)
    classes, sizes = np.unique(labels, return_counts=True)
    quotas = _quotas(sizes, count, random)
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, quotas, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def as_positions(order: ArrayLike, count: int) -> Positions:
    """Return positions in a set of `count` images as int64; RobustcheckError for anything else."""
    positions = np.asarray(order)
    if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
        raise RobustcheckError(
            f"positions must be one row of integers, got {positions.dtype} of shape {positions.shape}"
        )
    if positions.size and not 0 <= positions.min() <= positions.max() < count:
        raise RobustcheckError(
            f"positions must be from 0 to {count - 1}, got {positions.min()} to {positions.max()}"
        )
    return positions.astype(np.int64)


def _quotas(sizes: NDArray[np.int64], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    exact = sizes * count / sizes.sum()
    quotas: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    order = random.permutation(len(sizes))  # breaks ties
    order = order[np.argsort(-(exact - quotas)[order], kind="stable")]
    quotas[order[: count - quotas.sum()]] += 1
    if count >= len(sizes):
        while (without := np.flatnonzero(quotas == 0)).size:
            quotas[without[0]] += 1
            quotas[np.argmax(quotas)] -= 1
    return quotas
