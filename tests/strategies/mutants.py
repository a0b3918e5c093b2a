"""Image code with one fault each, beside the same code without it: what `strategies.images` is to find.

A function has a parameter for each fault; a mutant is the function with one of them set. `drawn` says on which images it
is tried: "square" (16 x 16), "odd" (15 x 15) or "batch" (two of 8 x 8). `perturbation_mutants.py` and `view_mutants.py`
have those of functions of perturbed images and of views.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Mutant:
    name: str
    right: Callable[..., Any]
    wrong: Callable[..., Any]
    drawn: str = "square"
    tolerance: float = 0

    def is_found(self, *arguments):
        """Whether the results differ, or the mutant fails."""
        try:
            wrong = self.wrong(*arguments)
        except Exception:  # noqa: BLE001 - any failure shows
            return True
        right = self.right(*arguments)
        if not isinstance(right, Tensor):
            return right != wrong
        return right.shape != wrong.shape or not torch.allclose(
            right.double(), wrong.double(), rtol=0, atol=self.tolerance, equal_nan=True
        )


def mutant(name, function, drawn="square", tolerance=0, **fault):
    return Mutant(name, function, partial(function, **fault), drawn, tolerance)


def to_bytes(levels, wraps=False, truncates=False):
    whole = levels.trunc() if truncates else levels.round()
    return whole.long().remainder(256) if wraps else whole.clamp(0, 255).long()


# ------------------------------------------------------------------------------------------- resizing


def halve(batch, pad="replicate", side="right", overflows=False, truncates=False, swaps=False, rolls=None):
    """The mean of each 2 x 2 pixels, an odd side's last ones repeated."""
    height, width = batch.shape[-2:]
    columns, rows = (width % 2, 0)[:: 1 if side == "right" else -1], (0, height % 2)
    values = F.pad(batch.float(), (columns[1], columns[0], *rows), mode=pad)
    if rolls is not None:
        values = values.roll(-1, rolls)
    parts = [values[..., row::2, column::2] for row in (0, 1) for column in (0, 1)]
    total = sum(parts) % 256 if overflows else sum(parts)
    halved = to_bytes(total / 4, truncates=truncates)
    return halved.mT if swaps else halved


def enlarge(batch, mode="bilinear", corners=False, wraps=False, truncates=False, swaps=False, misses=False):
    """Half as large again, between pixel centres."""
    source = batch.mT if swaps else batch
    if misses:  # an index that is held one below the last
        source = torch.cat([source[..., :-1, :], source[..., -2:-1, :]], -2)
    size = [side * 3 // 2 for side in batch.shape[-2:]]
    return to_bytes(F.interpolate(source.float(), size, mode=mode, align_corners=corners), wraps, truncates)


def interleaved(batch, reshapes=False):
    """Channels last."""
    count, channels, height, width = batch.shape
    return batch.reshape(count, height, width, channels) if reshapes else batch.permute(0, 2, 3, 1)


# ------------------------------------------------------------------------------------------- colours

LUMA = (0.299, 0.587, 0.114)
LUMA_709 = (0.2126, 0.7152, 0.0722)


def to_ycbcr(batch, luma=LUMA, wraps=False, truncates=False, swaps=False, is_bgr=False, limited=False):
    red, green, blue = batch.flip(1).double().unbind(1) if is_bgr else batch.double().unbind(1)
    grey = luma[0] * red + luma[1] * green + luma[2] * blue
    chroma = [128 + (blue - grey) / (2 - 2 * luma[2]), 128 + (red - grey) / (2 - 2 * luma[0])]
    planes = [16 + grey * 219 / 255 if limited else grey, *(chroma[::-1] if swaps else chroma)]
    return to_bytes(torch.stack(planes, 1), wraps, truncates)


def to_rgb(batch, wraps=False, sign=1, offset=128):
    grey, blueness, redness = batch.double().unbind(1)
    blueness, redness = blueness - offset, redness - offset
    green = grey - 0.344136 * blueness - sign * 0.714136 * redness
    return to_bytes(torch.stack([grey + 1.402 * redness, green, grey + 1.772 * blueness], 1), wraps)


def recoloured(batch, wraps=False):
    """To YCbCr and back: a byte leaves 0..255 for a few saturated colours only."""
    return to_rgb(to_ycbcr(batch, wraps=wraps))


def hue(batch, divides=False, negative=False, ties=False):
    red, green, blue = batch.double().unbind(1)
    high, span = batch.double().amax(1), batch.double().amax(1) - batch.double().amin(1)
    safe = span if divides else torch.where(span == 0, 1, span)
    sectors = torch.where(
        high == red,
        (green - blue) / safe,
        torch.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    if ties:  # "is the largest" asked with > in place of >=
        sectors = torch.where((red == green) & (red == high) & (span > 0), 0, sectors)
    return 60 * (sectors if negative else sectors.remainder(6))


def saturation(batch, divides=False):
    high, low = batch.double().amax(1), batch.double().amin(1)
    return (high - low) / (high if divides else high.clamp(min=1))


def brightness(batch, overflows=False, weights=LUMA):
    if overflows:
        return batch.sum(1, dtype=torch.uint8).double() / 3
    return (
        (batch.double() * torch.tensor(weights).view(3, 1, 1)).sum(1) if weights else batch.double().mean(1)
    )


def gamma(batch, entries=256):
    table = ((torch.arange(256) / 255) ** 2.2 * 255).round()
    return table[batch.long().clamp(max=entries - 1)]


# ---------------------------------------------------------------------------------------------- JPEG

_X = torch.arange(8, dtype=torch.float64)
DCT = torch.cos((2 * _X + 1) * _X[:, None] * torch.pi / 16) / 2
DCT[0] /= 2**0.5
TABLE = 1 + (3 * _X[:, None] + 5 * _X).clamp(max=60)  # steeper along rows, so that a transposed one shows


def jpeg(
    batch,
    pad="replicate",
    wraps=False,
    shift=128,
    table=TABLE,
    chroma="mean",
    swaps=False,
    crops=False,
    up="nearest",
):
    """A round trip in YCbCr, chroma at half the size."""
    height, width = batch.shape[-2:]
    padded = F.pad(batch.double(), (0, -width % 16, 0, -height % 16), mode=pad)
    planes = to_ycbcr(padded).double()
    colour = planes[:, 1:]
    half = F.avg_pool2d(colour, 2) if chroma == "mean" else colour[..., ::2, ::2]
    if swaps:
        half = half.mT
    grey, half = quantised(planes[:, :1], table, shift, wraps), quantised(half, table, 128, wraps)
    full = torch.cat([grey, F.interpolate(half, scale_factor=2, mode=up)], 1)
    decoded = to_rgb(full, wraps)
    return decoded[..., -height:, -width:] if crops else decoded[..., :height, :width]


def quantised(plane, table, shift, wraps):
    count, channels, height, width = plane.shape
    blocks = plane.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4) - shift
    coefficients = (DCT @ blocks @ DCT.T / table).round() * table
    back = (DCT.T @ coefficients @ DCT + 128).transpose(3, 4).reshape(plane.shape)
    return to_bytes(back, wraps).double()


# -------------------------------------------------------------------------------------- normalisation

MEAN, STD = (
    torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
    torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
)


def normalise(batch, largest=255.0, mean=MEAN, std=STD, first_std=False):
    values = batch / largest
    return values / std - mean if first_std else (values - mean) / std


def denormalise(batch, truncates=False, wraps=False, gain=1.0):
    values = (normalise(batch) * STD + MEAN) * 255 * gain
    return to_bytes(values, wraps=wraps, truncates=truncates)


def standardise(batch, axes=(2, 3), floor=1.0, dtype=torch.float64, squares=False):
    """Each channel of each image to mean 0 and deviation 1."""
    values = batch.double()
    mean = values.to(dtype).mean(axes, keepdim=True).double()
    if squares:  # E[x^2] - E[x]^2 in bytes
        spread = (batch * batch).double().mean(axes, keepdim=True) - mean**2
    else:
        spread = ((values - mean) ** 2).mean(axes, keepdim=True)
    deviation = spread.sqrt()
    return (values - mean) / (deviation.clamp(min=floor) if floor else deviation)


def stretched(batch, guards=True):
    """Contrast over the whole range."""
    low, high = batch.double().amin((1, 2, 3), keepdim=True), batch.double().amax((1, 2, 3), keepdim=True)
    span = high - low
    return (batch - low) / (span.clamp(min=1) if guards else span) * 255


def total(batch, dtype=torch.float64):
    return batch.to(dtype).sum((1, 2, 3), dtype=dtype)


# -------------------------------------------------------------------------------------------- attack


def attacked(
    batch, epsilon=4, wraps=False, zero=0, top=255, bottom=0, channels=3, swaps=False, mean=False, images=None
):
    """One step along the sign of the gradient of a quadratic model."""
    pixels = batch.shape[-1] * batch.shape[-2]
    weights = torch.linspace(-1, 1, 3 * pixels, dtype=torch.float64).reshape(3, *batch.shape[-2:]).cos() - 0.7
    values = batch.double()
    gradient = (weights.mT if swaps else weights) * (values - values.mean((1, 2, 3), keepdim=True).round())
    if mean:
        gradient = gradient.mean(0, keepdim=True)
    direction = gradient.sign() + zero * (gradient == 0)
    direction[:, channels:] = 0
    if images:
        direction[images:] = 0
    moved = values + epsilon * direction
    return moved.remainder(256) if wraps else moved.clamp(bottom, top)


def unchanged(batch, writes=False):
    """An attack returns new images and leaves those it was given."""
    given = batch.clone()
    (given if writes else given.clone()).add_(4).clamp_(0, 255)
    return given


MUTANTS = (
    mutant("halve: sum overflows uint8", halve, overflows=True),
    mutant("halve: truncates", halve, truncates=True),
    mutant("halve: x and y mixed up", halve, swaps=True),
    mutant("halve: a row too far", halve, rolls=-2),
    mutant("halve: a column too far", halve, rolls=-1),
    mutant("halve: odd side padded with zeros", halve, "odd", pad="constant"),
    mutant("halve: odd side wraps around", halve, "odd", pad="circular"),
    mutant("halve: odd side padded on the left", halve, "odd", side="left"),
    mutant("enlarge: corners aligned", enlarge, corners=True),
    mutant("enlarge: truncates", enlarge, truncates=True),
    mutant("enlarge: x and y mixed up", enlarge, swaps=True),
    mutant("enlarge: last row missed", enlarge, misses=True),
    Mutant(
        "enlarge: bicubic without a clamp",
        partial(enlarge, mode="bicubic"),
        partial(enlarge, mode="bicubic", wraps=True),
    ),
    mutant("channels last by reshape", interleaved, reshapes=True),
    mutant("YCbCr: BGR", to_ycbcr, is_bgr=True),
    mutant("YCbCr: Cb and Cr swapped", to_ycbcr, swaps=True),
    mutant("YCbCr: without a clamp", to_ycbcr, wraps=True),
    mutant("YCbCr: truncates", to_ycbcr, truncates=True),
    mutant("YCbCr: weights of BT.709", to_ycbcr, luma=LUMA_709),
    mutant("YCbCr: limited range", to_ycbcr, limited=True),
    mutant("RGB: without a clamp", to_rgb, wraps=True),
    mutant("RGB: sign of Cr in green", to_rgb, sign=-1),
    mutant("RGB: offset 127", to_rgb, offset=127),
    mutant("YCbCr and back: without a clamp", recoloured, wraps=True),
    mutant("hue: grey divided by zero", hue, divides=True),
    mutant("hue: negative", hue, negative=True),
    mutant("hue: two largest channels", hue, ties=True),
    mutant("saturation: black divided by zero", saturation, divides=True),
    mutant("grey: weights reversed", brightness, weights=LUMA[::-1]),
    Mutant(
        "grey: sum overflows uint8", partial(brightness, weights=None), partial(brightness, overflows=True)
    ),
    mutant("gamma: table of 255", gamma, entries=255),
    mutant("JPEG: without a clamp", jpeg, wraps=True),
    mutant("JPEG: no level shift", jpeg, shift=127),
    mutant("JPEG: table transposed", jpeg, table=TABLE.T),
    mutant("JPEG: chroma by every second", jpeg, chroma="every second"),
    mutant("JPEG: chroma transposed", jpeg, swaps=True),
    mutant("JPEG: chroma smoothed", jpeg, up="bilinear"),
    mutant("JPEG: odd side padded with zeros", jpeg, "odd", pad="constant"),
    mutant("JPEG: odd side cropped at the left", jpeg, "odd", crops=True),
    mutant("normalise: by 256", normalise, largest=256.0),
    mutant("normalise: BGR mean", normalise, mean=MEAN.flip(0), tolerance=1e-4),
    mutant("normalise: deviations all alike", normalise, std=STD.mean(), tolerance=1e-4),
    mutant("normalise: deviation first", normalise, first_std=True, tolerance=1e-4),
    mutant("denormalise: truncates", denormalise, truncates=True),
    Mutant(
        "denormalise: without a clamp",
        partial(denormalise, gain=1.004),
        partial(denormalise, gain=1.004, wraps=True),
    ),
    mutant("standardise: flat divided by zero", standardise, floor=0),
    mutant("standardise: mean over channels", standardise, axes=(1, 2, 3), tolerance=1e-6),
    mutant("standardise: mean over rows only", standardise, axes=(2,), tolerance=1e-6),
    mutant("standardise: mean over images", standardise, "batch", axes=(0, 2, 3), tolerance=1e-6),
    mutant("standardise: mean in half precision", standardise, dtype=torch.bfloat16, tolerance=0.05),
    mutant("standardise: squares overflow", standardise, squares=True, tolerance=1e-6),
    mutant("stretch: flat divided by zero", stretched, guards=False),
    mutant("total: half precision overflows", total, dtype=torch.float16, tolerance=2000),
    mutant("attack: wraps around", attacked, wraps=True),
    mutant("attack: sign of zero", attacked, zero=1),
    mutant("attack: epsilon of 1", attacked, epsilon=4 / 255),
    mutant("attack: downhill", attacked, epsilon=-4),
    mutant("attack: never 255", attacked, top=254),
    mutant("attack: never 0", attacked, bottom=1),
    mutant("attack: two channels", attacked, channels=2),
    mutant("attack: x and y mixed up", attacked, swaps=True),
    mutant("attack: gradient over the batch", attacked, "batch", mean=True),
    mutant("attack: first image only", attacked, "batch", images=1),
    mutant("attack: writes into its input", unchanged, writes=True),
)
