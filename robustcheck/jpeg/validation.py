"""The checks that `roundtrip` and `differentiable` share; every error says what must be and what was got."""

from __future__ import annotations

import numbers
from typing import Any

import torch
from torch import Tensor

from robustcheck.errors import RobustcheckError
from robustcheck.jpeg.tables import LARGEST_SIDE

_WHOLE_DTYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_batch(images: Any) -> None:
    """Raise unless `images` is a tensor (N, 3, H, W) with sides of 1 to 65500."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a torch.Tensor of shape (N, 3, H, W), got {type(images).__name__}")
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] != 3:
        hint = "; add a batch dimension by images[None]" if len(shape) == 3 and shape[0] == 3 else ""
        if len(shape) == 4 and shape[3] == 3:
            hint = "; channels come second: images.permute(0, 3, 1, 2)"
        raise RobustcheckError(f"images must be an RGB batch of shape (N, 3, H, W), got {shape}{hint}")
    if not all(1 <= side <= LARGEST_SIDE for side in shape[2:]):
        raise RobustcheckError(
            f"images must have sides of 1 to {LARGEST_SIDE} pixels, as JPEG allows, got {shape[2]} x {shape[3]}"
        )


def check_bytes(images: Tensor) -> None:
    """Raise unless `images` is uint8."""
    if images.dtype is not torch.uint8:
        raise TypeError(
            f"images must be uint8, got {images.dtype}: for float pixels in 0..255 use .round().to(torch.uint8), or "
            "jpeg.differentiable for a gradient"
        )


def check_levels(images: Tensor) -> None:
    """Raise unless `images` is floating point, without NaN, within 0..255; waits for the device."""
    if not images.is_floating_point():
        raise TypeError(
            f"images must be floating point, got {images.dtype}: use .float(), or jpeg.roundtrip for uint8"
        )
    if images.numel() == 0:
        return
    low, high = (float(bound) for bound in images.detach().aminmax())
    if not (low >= 0 and high <= 255):  # NaN fails too
        hint = "; clamp(0, 255) first" if low == low else "; find where they come from first"  # noqa: PLR0124
        raise RobustcheckError(
            f"images must be pixel levels within 0..255, got values from {low:g} to {high:g}{hint}"
        )


def qualities_of(quality: Any, n: int) -> Tensor:
    """The quality of each of `n` images, int64 (n,) on the CPU, from one integer or a tensor of them."""
    if isinstance(quality, Tensor):
        return _from_tensor(quality, n)
    if isinstance(quality, bool) or not isinstance(quality, numbers.Real):
        raise TypeError(
            f"quality must be an integer or an integer tensor (N,), got {quality!r}: 1 (small) to 100 (fine)"
        )
    if not isinstance(quality, numbers.Integral):
        raise RobustcheckError(
            f"quality must be a whole number from 1 to 100, got {quality!r}: round it first"
        )
    _check_range(int(quality), int(quality))
    return torch.full((n,), int(quality), dtype=torch.int64, device="cpu")


def _from_tensor(quality: Tensor, n: int) -> Tensor:
    if quality.dtype not in _WHOLE_DTYPES:
        raise TypeError(f"quality must be an integer tensor, got {quality.dtype}: use .to(torch.int64)")
    if tuple(quality.shape) not in {(), (n,)}:
        raise RobustcheckError(
            f"quality must hold one value, or one for each of the {n} images, got shape {tuple(quality.shape)}"
        )
    whole = quality.to("cpu", torch.int64).expand(n)
    if n:
        _check_range(int(whole.min()), int(whole.max()))
    return whole


def _check_range(lowest: int, highest: int) -> None:
    if lowest < 1 or highest > 100:
        got = f"{lowest}" if lowest == highest else f"values from {lowest} to {highest}"
        raise RobustcheckError(f"quality must be from 1 (small) to 100 (fine), got {got}")
