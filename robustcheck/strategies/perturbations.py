"""Perturbations within an L-inf ball: its corners, sign patterns, one sample or pixel, saturation.

Every change is made from the same bytes, as images are: a pattern, an amount of 0 to epsilon levels up or down, and a
place. It shrinks to no change at all, then to one sample by one level.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from robustcheck.errors import RobustcheckError
from robustcheck.strategies.arguments import drawn, levels

Change: TypeAlias = "NDArray[np.int16]"  # (N, C, H, W)

_RECIPE = st.binary(min_size=7, max_size=7)  # pattern, sign and whether to the limit, amount, place


def epsilons(low: int = 1, high: int = 16) -> st.SearchStrategy[int]:
    """Sizes of perturbations in pixel levels: integers from 1 to 255.

    Raises:
        RobustcheckError: bounds that are not integers from 1 to 255, or out of order.
    """
    first, last = levels(low), levels(high)
    if first > last:
        raise RobustcheckError(
            f"epsilons must satisfy low <= high (pixel levels), got low {low} and high {high}"
        )
    return st.integers(first, last)


@st.composite
def perturbations(
    draw: st.DrawFn, images: Tensor | st.SearchStrategy[Tensor], epsilon: int | st.SearchStrategy[int]
) -> Tensor:
    """Images within `epsilon` levels of given ones in each sample: uint8 of the same shape, on the same device.

    Half of them reach epsilon, up or down. Changed are one sample, one pixel, a row, a column, a channel, an image, or
    all: alike, in alternating or random signs, by random levels, or towards black and white. None leaves 0..255.

    Args:
        images: uint8 (N, C, H, W), or a strategy of such.
        epsilon: an integer number of pixel levels from 0 to 255, or a strategy of such.

    Raises:
        RobustcheckError: at the first example, for images that are no uint8 batch, or an epsilon that is not a whole
            number of levels (8/255 in other tools is 8 here).
    """
    clean, limit = drawn(draw, images), levels(drawn(draw, epsilon), low=0)
    _check(clean)
    recipe = draw(_RECIPE)
    if not clean.numel():
        return clean.clone()
    pattern, place = _PATTERNS[recipe[0] % len(_PATTERNS)], int.from_bytes(recipe[3:], "big")
    amount = (limit if recipe[1] & 2 else recipe[2] % (limit + 1)) * (-1 if recipe[1] & 1 else 1)
    before = clean.detach().to("cpu", torch.int16).numpy()
    changed = torch.from_numpy(np.clip(before + pattern(amount, place, before), 0, 255).astype(np.uint8))
    return changed.to(clean.device)


def _check(images: Any) -> None:
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 4:
        kind = (
            f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        )
        hint = ": add a batch dimension by images[None]" if getattr(images, "ndim", 0) == 3 else ""
        raise RobustcheckError(f"images must be uint8 (N, C, H, W), or a strategy of such, got {kind}{hint}")
    if images.is_meta:
        raise RobustcheckError("images must have values, got a tensor on the meta device: use another device")


# The patterns, the simplest first: amount, place, images (N, C, H, W) -> something that broadcasts to their shape.


def _sample(amount: int, place: int, before: Change) -> Change:
    return _within(amount, place, before, axes=(0, 1, 2, 3))


def _pixel(amount: int, place: int, before: Change) -> Change:
    return _within(amount, place, before, axes=(0, 2, 3))


def _slice(amount: int, place: int, before: Change) -> Change:
    """One image, channel, row or column."""
    return _within(amount, place // 4, before, axes=(place % 4,))


def _all(amount: int, _place: int, _before: Change) -> Change:
    return np.array(amount, dtype=np.int16)


def _alternating(amount: int, place: int, before: Change) -> Change:
    """Signs that alternate along columns, rows or both: their sum is zero on even sides."""
    rows, columns = ((0, 1), (1, 0), (1, 1))[place % 3]
    height, width = before.shape[-2:]
    odd = (rows * np.arange(height)[:, None] + columns * np.arange(width)) % 2
    return np.where(odd, -amount, amount).astype(np.int16)


def _signs(amount: int, place: int, before: Change) -> Change:
    is_up = np.random.default_rng(place).integers(0, 2, before.shape, dtype=np.uint8)
    return np.where(is_up, amount, -amount).astype(np.int16)


def _levels(amount: int, place: int, before: Change) -> Change:
    random = np.random.default_rng(place)
    return random.integers(-abs(amount), abs(amount), before.shape, dtype=np.int16, endpoint=True)


def _saturating(amount: int, _place: int, before: Change) -> Change:
    """Bright samples brighter and dark ones darker, or the other way round."""
    return np.where(before >= 128, amount, -amount).astype(np.int16)


_PATTERNS = (_sample, _pixel, _slice, _all, _alternating, _signs, _levels, _saturating)


def _within(amount: int, place: int, before: Change, axes: tuple[int, ...]) -> Change:
    """Return the change by an amount of what lies at one place of some axes."""
    sides = [before.shape[axis] for axis in axes]
    position = np.unravel_index(place % int(np.prod(sides)), sides)
    change = np.zeros_like(before)
    where: list[Any] = [slice(None)] * 4
    for axis, at in zip(axes, position, strict=True):
        where[axis] = at
    change[tuple(where)] = amount
    return change
