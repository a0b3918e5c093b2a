"""The selection `Worst(Adv_1; PGD_1)`: for each image the view that hurts most."""

from __future__ import annotations

from torch import Tensor


def most_harmful(logits: Tensor, labels: Tensor) -> Tensor:
    """Return which view to take of each image: one in which the label is lost, and of those the least probable.

    Args:
        logits: float32 (views, n, classes).
        labels: int64 (n,), the images' own, or l_x for an image without one.

    Returns:
        int64 (n,), from 0 to views - 1.
    """
    probability = logits.double().softmax(dim=2)
    kept = logits.argmax(dim=2) == labels
    own = probability.gather(2, labels.expand(len(logits), -1)[:, :, None])[:, :, 0]
    return (kept.double() * 2 + own).argmin(dim=0)
