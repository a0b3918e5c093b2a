"""The round trip in plain torch operations on int32, for every device that torch has."""

from __future__ import annotations

import torch
from torch import Tensor

import robustcheck
from robustcheck.jpeg.pipeline import Exact, run_pipeline
from robustcheck.jpeg.tables import quantiser_steps

# Samples that go through the pipeline together: on a CPU what its caches hold; elsewhere enough to fill the
# device, but no more than an eighth of the batch, for a chunk takes some twenty times its own size.
_CPU_CHUNK = 1 << 19
_DEVICE_CHUNK = 1 << 24


def library() -> str:
    """Our own version and torch's."""
    return f"robustcheck {robustcheck.__version__}'s tensor codec (torch {torch.__version__})"


def unsupported_reason(_device: torch.device) -> None:
    """None: it runs wherever torch does."""


def roundtrip(images: Tensor, qualities: Tensor, subsampling: str) -> Tensor:
    """Take uint8 `images` (N, 3, H, W) through JPEG at `qualities` (N,)."""
    steps = quantiser_steps(qualities)
    result = torch.empty(images.shape, dtype=torch.uint8, device=images.device)
    chunk = images_at_once(images)
    parts = zip(*(torch.split(batch, chunk) for batch in (images, steps, result)), strict=True)
    for pixels, chunk_steps, target in parts:
        centred = run_pipeline(pixels.to(torch.int32), chunk_steps, subsampling, Exact())
        target.copy_(centred.add_(128))
    return result


def images_at_once(images: Tensor) -> int:
    """How many of `images` should go through the pipeline together; at least one, however large."""
    samples = _CPU_CHUNK
    if images.device.type != "cpu":
        samples = min(_DEVICE_CHUNK, max(_CPU_CHUNK, images.numel() // 8))
    return max(1, samples // images[0].numel())
