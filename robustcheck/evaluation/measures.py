"""Bounded numbers per image and view: the columns of the records."""

from __future__ import annotations

import torch
from torch import Tensor

from robustcheck.evaluation.batch_state import BatchState
from robustcheck.notation import View, X
from robustcheck.records import COLUMNS


def measure(run: BatchState, view: View) -> Tensor:
    """Return the rows `robustcheck.records.COLUMNS` of a view of a batch, float64 (rows, n).

    Of a view with draws they are the means over its draws, but for the prediction, which is the first draw's. The
    prediction is NaN where the logits are not finite, and `correct` where there is no label. All
    stays on the device, so that a batch is fetched at once.
    """
    if view.draws:
        each = torch.stack([measure(run, draw) for draw in view.draws])  # (draws, rows, n)
        first = torch.tensor([name == "prediction" for name in COLUMNS], device=each.device)[:, None]
        return torch.where(first & each[:, :1].isfinite().all(dim=0), each[0], each.mean(dim=0))
    logits = run.logits[view].double()
    prediction = logits.argmax(dim=1)
    top = run.top_labels
    change = (run.images[view].to(torch.int16) - run.images[X].to(torch.int16)).flatten(1).float()
    nan = torch.full_like(logits[:, 0], torch.nan)
    rows = {
        "prediction": prediction.double().where(logits.isfinite().all(dim=1), nan),
        "correct": (prediction == run.labels).double().where(run.labels >= 0, nan),
        "p_top": logits.softmax(dim=1).gather(1, top[:, None])[:, 0],
        "kept": (prediction == top).double(),
        "linf": change.abs().amax(dim=1).double(),
        "l2": torch.linalg.vector_norm(change, dim=1).double(),
        "rising": run.rising.of(view, run.labels),
    }
    return torch.stack([rows[name] for name in COLUMNS])
