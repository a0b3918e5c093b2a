"""JPEG with a gradient, for attacks that go through it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from robustcheck.eager import reads_values
from robustcheck.errors import unknown
from robustcheck.jpeg.pipeline import Rounding, Smooth, run_pipeline
from robustcheck.jpeg.roundtrip import roundtrip
from robustcheck.jpeg.tables import quantiser_steps
from robustcheck.jpeg.tensor import images_at_once
from robustcheck.jpeg.validation import check_batch, check_levels, qualities_of

Gradient: TypeAlias = Literal["smooth", "straight-through"]


@reads_values
def differentiable(
    images: Tensor,
    *,
    quality: int | Tensor = 75,
    subsampling: str = "4:2:0",
    rounding: Rounding = "identity",
    gradient: Gradient = "smooth",
) -> Tensor:
    """Take float pixels through JPEG: forward exactly what `roundtrip` gives, backward a smooth stand-in.

    Forward rounds the pixels to bytes (halves to even) and is equal to `roundtrip` of them to the bit.
    Backward goes through the same pipeline (colour, padding, chroma averaging, DCT, quantiser, upsampling,
    clamps) with each rounding as `rounding` says. Double backward isn't supported.

    Args:
        images: floating point RGB (N, 3, H, W) in pixel levels 0..255, without NaN; any device.
        quality: as for `roundtrip`.
        subsampling: as for `roundtrip`.
        rounding: how the quantiser is differentiated. "identity" lets every coefficient pass, as if it had not
            been rounded; "cubic" is round(x) + (x - round(x))^3 of Shin and Song (2017), whose gradient is
            nearly 0 for coefficients near a level, such as those that quantisation erases. The roundings
            outside the quantiser are identities in both.
        gradient: "smooth" is the pipeline above. "straight-through" takes JPEG as a whole for the identity, the
            backward pass of BPDA (Athalye, Carlini and Wagner 2018); `rounding` then plays no part.

    Returns:
        (N, 3, H, W) with the dtype and device of `images`, whole numbers in 0..255.

    Raises:
        TypeError: images that aren't a floating-point tensor; a quality that isn't a number or integer tensor.
        RobustcheckError: (a ValueError) NaN or values outside 0..255, another shape, quality or name.

    >>> pixels = torch.full((1, 3, 8, 8), 99.6, requires_grad=True)
    >>> differentiable(pixels).sum().backward()
    >>> bool((pixels.grad > 0).any())
    True
    """
    check_batch(images)
    check_levels(images)
    for what, name, allowed in (("rounding", rounding, Rounding), ("gradient", gradient, Gradient)):
        if name not in get_args(allowed):
            raise unknown(what, str(name), get_args(allowed))
    qualities = qualities_of(quality, len(images))
    with torch.no_grad():
        pixels = images.round().to(torch.uint8)
        exact = roundtrip(pixels, quality=qualities, subsampling=subsampling).to(images.dtype)
    if not (images.requires_grad and torch.is_grad_enabled()) or len(images) == 0:
        return exact
    result: Tensor
    if gradient == "straight-through":
        result = _StraightThrough.apply(images, exact)
    else:
        result = _ThroughPipeline.apply(images, exact, qualities, (subsampling, rounding))
    return result


def smooth(images: Tensor, qualities: Tensor, subsampling: str, rounding: Rounding) -> Tensor:
    """The pipeline whose gradient `differentiable` has; float64 stays so, all else is computed in float32."""
    wide = images if images.dtype is torch.float64 else images.float()
    centred = run_pipeline(wide, quantiser_steps(qualities), subsampling, Smooth(rounding))
    return (centred + 128).to(images.dtype)


# In both, forward is the exact value itself: s + (exact - s).detach() misses it by a bit wherever the sum rounds.


class _StraightThrough(torch.autograd.Function):
    """The exact value with the identity's gradient."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, exact: Tensor) -> Tensor:  # noqa: ARG004 - autograd's signature
        return exact.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return grad, None


class _ThroughPipeline(torch.autograd.Function):
    """The exact value with the smooth pipeline's gradient.

    The pipeline is run in the backward pass, a few images at a time: it holds some fifty times their size, which
    for the whole batch would neither fit a CPU's caches nor leave a device room for a model.
    """

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, exact: Tensor, qualities: Tensor, settings: tuple[str, Rounding]
    ) -> Tensor:
        ctx.save_for_backward(images)
        ctx.qualities, ctx.settings = qualities, settings
        return exact.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (images,) = ctx.saved_tensors
        subsampling, rounding = ctx.settings
        chunk = images_at_once(images)
        result = torch.empty_like(grad)
        parts = zip(
            *(torch.split(batch, chunk) for batch in (images, ctx.qualities, grad, result)), strict=True
        )
        with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
            for pixels, chunk_qualities, outward, inward in parts:
                leaf = pixels.detach().requires_grad_()
                stand_in = smooth(leaf, chunk_qualities, subsampling, rounding)
                inward.copy_(torch.autograd.grad(stand_in, leaf, outward)[0])
        return result, None, None, None
