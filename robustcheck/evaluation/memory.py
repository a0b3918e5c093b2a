"""When memory runs out: the batch in halves."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from robustcheck.images import Batch


def split(batch: Batch, size: int) -> Iterator[Batch]:
    """Yield a batch's images in batches of at most `size`."""
    for start in range(0, len(batch), size):
        rows = slice(start, start + size)
        yield Batch(
            pixels=batch.pixels[rows],
            labels=batch.labels[rows],
            ids=batch.ids[rows],
            indices=batch.indices[rows],
            names=batch.names[rows],
        )


def give_back(device: torch.device) -> None:
    """Return what the allocator holds for nobody to the device: it is in pieces that may fit no more."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
