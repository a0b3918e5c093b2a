"""The JPEG pipeline, pixels to pixels, in either of two arithmetics: libjpeg-turbo's integers, or smooth floats.

Every sample is held centred, 128 below its value in the file, from the colour transform to its inverse: each
rounding rule of the codec commutes with that shift. The DCT works on tensors with the blocks innermost,
(8, 8, ...), so that each step is one operation on long rows.
"""

# ruff: noqa: D102 - the methods of an arithmetic are documented in `Arithmetic`

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from robustcheck.jpeg.tables import DCT_MATRIX, chroma_factors, reciprocals
from robustcheck.models.device import send

Rounding = Literal["identity", "cubic"]


class Arithmetic(Protocol):
    """What the pipeline leaves open: how to round."""

    def shift(self, total: Tensor, bias: int, bits: int) -> Tensor:
        """Divide by 2^bits, rounding by `bias`; `total` may be overwritten."""

    def quantise(self, coefficients: Tensor, steps: Tensor) -> Tensor:
        """From 8 times the DCT to the nearest multiple of the step; both blocks-innermost, (8, 8, ...)."""

    def product(self, matrix: Tensor, blocks: Tensor, axis: int) -> Tensor:
        """The 8x8 `matrix` times blocks-innermost `blocks` along axis 0 or 1."""

    def limit(self, samples: Tensor) -> Tensor:
        """Confine centred samples to the range of a byte."""


@dataclass(frozen=True)
class Exact:
    """libjpeg-turbo's integers, int32 throughout: no autocast, TF32 or default dtype reaches them."""

    def shift(self, total: Tensor, bias: int, bits: int) -> Tensor:
        return total.add_(bias).bitwise_right_shift_(bits)

    def quantise(self, coefficients: Tensor, steps: Tensor) -> Tensor:
        inverse = send(reciprocals(steps), coefficients.device)
        levels = coefficients.to(torch.float32).mul_(_per_block(inverse)).round_()
        return levels.to(torch.int32).mul_(_per_block(send(steps, coefficients.device)))

    def product(self, matrix: Tensor, blocks: Tensor, axis: int) -> Tensor:
        # By sums of products, since matmul lacks int32 on CUDA, and is slower with it on a CPU.
        parts = blocks.unsqueeze(axis).unbind(axis + 1)
        columns = matrix.reshape(8, 8, *[1] * (blocks.ndim - 1 - axis)).unbind(1)
        total = columns[0] * parts[0]
        for column, part in zip(columns[1:], parts[1:], strict=True):
            total.addcmul_(column, part)
        return total

    def limit(self, samples: Tensor) -> Tensor:
        return samples.clamp_(-128, 127)


@dataclass(frozen=True)
class Smooth:
    """The same pipeline in floating point with every rounding left out, or made cubic for the coefficients.

    Clamping lets pass what the codec would have rounded into range, half a level beyond either end: a white
    pixel keeps its gradient whichever way its last bit falls.
    """

    rounding: Rounding = "identity"

    def shift(self, total: Tensor, bias: int, bits: int) -> Tensor:  # noqa: ARG002 - the bias only serves rounding
        return total * 2.0**-bits

    def quantise(self, coefficients: Tensor, steps: Tensor) -> Tensor:
        if self.rounding == "identity":
            return coefficients / 8
        step = _per_block(send(steps, coefficients.device).to(coefficients.dtype))
        level = coefficients / (8 * step)
        nearest = level.detach().round()
        return (nearest + (level - nearest) ** 3) * step

    def product(self, matrix: Tensor, blocks: Tensor, axis: int) -> Tensor:
        return (matrix @ blocks.reshape(*blocks.shape[: axis + 1], -1)).view_as(blocks)

    def limit(self, samples: Tensor) -> Tensor:
        return samples.clamp(-128.5, 127.5)


def run_pipeline(rgb: Tensor, steps: Tensor, subsampling: str, arithmetic: Arithmetic) -> Tensor:
    """Take `rgb` (N, 3, H, W), 0..255, through JPEG with the quantiser `steps` (N, 2, 8, 8); centred, same shape.

    `rgb` is int32 for `Exact`, floating point for `Smooth`.
    """
    factors = chroma_factors(subsampling)
    height, width = rgb.shape[-2:]
    luma, chroma = _planes(rgb, arithmetic)
    luma = _through_blocks(_extended(luma, _whole(height), _whole(width)), steps[:, 0], arithmetic)
    chroma = _through_blocks(_downsampled(chroma, factors, arithmetic), steps[:, 1], arithmetic)
    chroma = _upsampled(chroma, factors, (height, width), arithmetic)
    return _rgb(luma[..., :height, :width], chroma, arithmetic)


def _per_block(table: Tensor) -> Tensor:
    return table.permute(1, 2, 0)[..., None, None, None]  # (N, 8, 8) to (8, 8, N, 1, 1, 1)


def _whole(length: int, multiple: int = 8) -> int:
    return -(-length // multiple) * multiple


def _weighted(channels: tuple[Tensor, ...], weights: tuple[int, ...]) -> Tensor:
    total = channels[0] * weights[0]
    for channel, weight in zip(channels[1:], weights[1:], strict=True):
        total.add_(channel, alpha=weight)
    return total


def _planes(rgb: Tensor, arithmetic: Arithmetic) -> tuple[Tensor, Tensor]:
    """Luma (N, 1, H, W) and chroma (N, 2, H, W), centred [jccolor.c]."""
    channels = rgb.unbind(1)
    luma = arithmetic.shift(_weighted(channels, (19595, 38470, 7471)), 32768, 16) - 128
    blue = arithmetic.shift(_weighted(channels, (-11059, -21709, 32768)), 32767, 16)
    red = arithmetic.shift(_weighted(channels, (32768, -27439, -5329)), 32767, 16)
    return luma[:, None], torch.stack((blue, red), 1)


def _rgb(luma: Tensor, chroma: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Centred pixels (N, 3, H, W) from luma (N, 1, H, W) and chroma (N, 2, H, W) [jdcolor.c]."""
    blue, red = chroma.unbind(1)
    offsets = (
        arithmetic.shift(red * 91881, 32768, 16),
        arithmetic.shift(_weighted((blue, red), (-22554, -46802)), 32768, 16),
        arithmetic.shift(blue * 116130, 32768, 16),
    )
    return arithmetic.limit(torch.stack(offsets, 1) + luma)


def _extended(planes: Tensor, height: int, width: int) -> Tensor:
    """Repeat the last row and column until `planes` measure height x width."""
    for axis, length in ((-1, width), (-2, height)):
        own = planes.shape[axis]
        if own < length:
            nearest = torch.arange(length, device=planes.device).clamp_(max=own - 1)
            planes = planes.index_select(axis, nearest)
    return planes


def _downsampled(chroma: Tensor, factors: tuple[int, int], arithmetic: Arithmetic) -> Tensor:
    """Chroma at its own resolution, padded to whole blocks [jcsample.c, jcprepct.c].

    The right edge is padded before averaging, the bottom only to an even height, the rest after it.
    """
    across, down = factors
    height, width = chroma.shape[-2:]
    columns, rows = _whole(-(-width // across)), _whole(height, down)
    full = _extended(chroma, rows, across * columns)
    if across == 2:
        total = full[..., 0::2] + full[..., 1::2]
        if down == 2:
            total = total[..., 0::2, :] + total[..., 1::2, :]
        # The bias alternates along the row: 0, 1, 0, 1, ... for pairs, 1, 2, 1, 2, ... for fours.
        odd = torch.arange(columns, device=chroma.device, dtype=total.dtype).remainder_(2)
        full = arithmetic.shift(total + odd, down - 1, down)
    return _extended(full, _whole(full.shape[-2]), columns)


def _neighbours(planes: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The sample before and the sample after each along `axis`, the border's own where there is none."""
    length = planes.shape[axis]
    first, last = planes.narrow(axis, 0, 1), planes.narrow(axis, length - 1, 1)
    before = torch.cat((first, planes.narrow(axis, 0, length - 1)), axis)
    return before, torch.cat((planes.narrow(axis, 1, length - 1), last), axis)


def _upsampled(
    chroma: Tensor, factors: tuple[int, int], size: tuple[int, int], arithmetic: Arithmetic
) -> Tensor:
    """Chroma at full resolution by libjpeg's "fancy" triangle filter, which reads no padding [jdsample.c]."""
    (across, down), (height, width) = factors, size
    chroma = chroma[..., : -(-height // down), : -(-width // across)]
    if across == 1:
        return chroma
    if chroma.shape[-1] <= 2:
        repeated = chroma.repeat_interleave(across, -1).repeat_interleave(down, -2)
        return repeated[..., :height, :width]
    biases, bits = (1, 2), 2
    if down == 2:
        above, below = _neighbours(chroma, -2)
        rows = (above.add(chroma, alpha=3), below.add(chroma, alpha=3))
        chroma = torch.stack(rows, -2).flatten(-3, -2)
        biases, bits = (8, 7), 4
    before, after = _neighbours(chroma, -1)
    even = arithmetic.shift(before.add(chroma, alpha=3), biases[0], bits)
    odd = arithmetic.shift(after.add(chroma, alpha=3), biases[1], bits)
    return torch.stack((even, odd), -1).flatten(-2)[..., :height, :width]


def _through_blocks(planes: Tensor, steps: Tensor, arithmetic: Arithmetic) -> Tensor:
    """DCT, quantise, dequantise and inverse DCT of planes (N, P, H, W) of whole blocks, by steps (N, 8, 8)."""
    n, p, height, width = planes.shape
    blocks = planes.reshape(n, p, height // 8, 8, width // 8, 8).permute(3, 5, 0, 1, 2, 4).contiguous()
    forward = send(torch.tensor(DCT_MATRIX, dtype=planes.dtype, device="cpu"), planes.device)
    inverse = forward.t()
    blocks = arithmetic.shift(arithmetic.product(forward, blocks, 1), 1 << 10, 11)  # jfdctint.c
    blocks = arithmetic.shift(arithmetic.product(forward, blocks, 0), 1 << 14, 15)
    blocks = arithmetic.quantise(blocks, steps)  # jcdctmgr.c
    blocks = arithmetic.shift(arithmetic.product(inverse, blocks, 0), 1 << 10, 11)  # jidctint.c
    blocks = arithmetic.limit(arithmetic.shift(arithmetic.product(inverse, blocks, 1), 1 << 17, 18))
    return blocks.permute(2, 3, 4, 0, 5, 1).reshape(n, p, height, width)
