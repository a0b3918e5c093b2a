"""The public round trip: checks, and the choice of a codec."""

from __future__ import annotations

import torch
from torch import Tensor

from robustcheck.eager import reads_values
from robustcheck.jpeg.registry import CODECS, check_codec, check_device, implementation
from robustcheck.jpeg.self_test import agrees_with_tensor, can_stand_in
from robustcheck.jpeg.tables import chroma_factors
from robustcheck.jpeg.validation import check_batch, check_bytes, qualities_of


@reads_values
def roundtrip(
    images: Tensor, *, quality: int | Tensor = 75, subsampling: str = "4:2:0", codec: str = "auto"
) -> Tensor:
    """Write `images` as JPEG and read them back: bit for bit what Pillow gives, whatever the device.

    The arithmetic is that of libjpeg-turbo 2 and newer with Pillow's settings (accurate integer DCT, fancy
    upsampling, Annex K tables); entropy coding loses nothing, so the tensor codecs leave it out.

    Args:
        images: uint8 RGB (N, 3, H, W), each side 1 to 65500, any strides, any device.
        quality: 1 to 100, one integer for all images or an integer tensor (N,) with one for each. A tensor on
            a device is read back to choose the tables, which waits for the device.
        subsampling: "4:4:4", "4:2:2" or "4:2:0", Pillow's default.
        codec: "pillow" (a pool of `torch.get_num_threads()` threads on the CPU), "tensor" (torch operations on
            the images' device), "triton" (two fused kernels, CUDA) or "auto": triton for CUDA tensors where it
            is installed, else pillow for CPU tensors if it passes its check (see `codec_info`), else tensor.

    Returns:
        uint8 (N, 3, H, W), contiguous, on the device of `images`.

    Raises:
        TypeError: images that aren't a uint8 tensor, or a quality that isn't a number or integer tensor.
        RobustcheckError: (a ValueError) another shape, quality, subsampling or codec, or triton without CUDA.

    >>> grey = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    >>> bool((roundtrip(grey, quality=50) == grey).all())
    True
    """
    check_batch(images)
    check_bytes(images)
    chroma_factors(subsampling)
    qualities = qualities_of(quality, len(images))
    check_codec(codec)
    if codec != "auto":
        check_device(codec, images.device)
    if len(images) == 0:
        return torch.empty_like(images, memory_format=torch.contiguous_format)
    chosen = fastest_codec(images.device) if codec == "auto" else codec
    row = CODECS[chosen]
    module = row.faster if row.faster and can_stand_in(row.faster, chosen) else row.module
    return implementation(module).roundtrip(images, qualities, subsampling)


def fastest_codec(device: torch.device) -> str:
    """Return the fastest codec that is exact on `device`, at any size and subsampling that was benchmarked."""
    return next(
        name
        for name, row in CODECS.items()
        if {"any", device.type} & {*row.devices}
        if implementation(row.module).unsupported_reason(device) is None
        if not row.is_tested or agrees_with_tensor(name)
    )
