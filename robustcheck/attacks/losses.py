"""The losses that an attack may maximise: each grows as a label loses ground to other classes.

The log-odds lead where the cross-entropy does, also where the model is sure and the cross-entropy's gradient vanishes.
The margin and the difference of logits ratio (Croce and Hein, arXiv 2003.01690) do not depend on how the logits are
scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

LossName = Literal["scaled_log_odds", "margin", "log_odds", "dlr"]

WIDEST_SPREAD = 8.0
"""Standard deviation of an image's logits over the classes above which they are scaled down."""


def log_odds_against(labels: Tensor, logits: Tensor) -> Tensor:
    """Return log((1 - p) / p) for the probability p of each label: float32 (N,)."""
    return _others(labels, logits).logsumexp(dim=1) - _own(labels, logits)


def margin_over(labels: Tensor, logits: Tensor) -> Tensor:
    """Return by how much the largest other logit is above each label's: float32 (N,)."""
    return _others(labels, logits).amax(dim=1) - _own(labels, logits)


def scaled_log_odds(labels: Tensor, logits: Tensor) -> Tensor:
    """Return the log-odds against each label at a temperature that keeps the logits' spread in bounds: float32 (N,).

    Logits whose standard deviation over the classes is above 8 are divided by as much as makes it 8, so that large
    logits do not hide all classes but two. Smaller ones are as they are: then these are the log-odds.
    """
    spread = logits.detach().std(dim=1, keepdim=True)
    return log_odds_against(labels, logits / (spread / WIDEST_SPREAD).clamp_min(1))


def dlr(labels: Tensor, logits: Tensor) -> Tensor:
    """Return the margin as a share of the spread from the largest to the third-largest logit: float32 (N,).

    With two classes there is no third, and it is the margin.
    """
    margin = margin_over(labels, logits)
    if logits.shape[1] < 3:
        return margin
    largest = logits.topk(3, dim=1).values
    return margin / (largest[:, 0] - largest[:, 2]).clamp_min(1e-12)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "scaled_log_odds": scaled_log_odds,
    "margin": margin_over,
    "log_odds": log_odds_against,
    "dlr": dlr,
}


def _own(labels: Tensor, logits: Tensor) -> Tensor:
    return logits.gather(1, labels[:, None])[:, 0]


def _others(labels: Tensor, logits: Tensor) -> Tensor:
    return logits.scatter(1, labels[:, None], -torch.inf)
