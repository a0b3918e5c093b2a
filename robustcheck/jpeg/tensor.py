"""The round trip in plain torch operations on int32, for every device that torch has."""

from __future__ import annotations

import torch
from torch import Tensor

from robustcheck.jpeg.pipeline import Exact
from robustcheck.jpeg.pipeline import roundtrip as through_chain

# Samples that go through the chain together: on a CPU what its caches hold; elsewhere enough to fill the
# device, but no more than an eighth of the batch, for a chunk takes some twenty times its own size.
_CPU_CHUNK = 1 << 19
_DEVICE_CHUNK = 1 << 24


def roundtrip(images: Tensor, steps: Tensor, subsampling: str) -> Tensor:
    """Take uint8 `images` (N, 3, H, W) through JPEG with the quantiser `steps` (N, 2, 8, 8)."""
    result = torch.empty(images.shape, dtype=torch.uint8, device=images.device)
    chunk = images_at_once(images)
    parts = zip(*(torch.split(batch, chunk) for batch in (images, steps, result)), strict=True)
    for pixels, chunk_steps, target in parts:
        centred = through_chain(pixels.to(torch.int32), chunk_steps, subsampling, Exact())
        target.copy_(centred.add_(128))
    return result


def images_at_once(images: Tensor) -> int:
    """How many of `images` should go through the chain together; at least one, however large."""
    samples = _CPU_CHUNK
    if images.device.type != "cpu":
        samples = min(_DEVICE_CHUNK, max(_CPU_CHUNK, images.numel() // 8))
    return max(1, samples // images[0].numel())
