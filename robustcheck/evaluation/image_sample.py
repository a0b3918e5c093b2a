"""Images of a set as they are under some views, for a person to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from robustcheck.evaluation.batch_state import BatchState
from robustcheck.evaluation.plan import Plan
from robustcheck.images import Batch
from robustcheck.notation import View


@dataclass(frozen=True)
class Look:
    """One image of the set under some views."""

    row: int
    images: Mapping[View, npt.NDArray[np.uint8]]  # (3, H, W), RGB, 0..255
    probabilities: Mapping[View, npt.NDArray[np.float64]]  # (classes,)


def looks(plan: Plan, batch: Batch, run: BatchState) -> Iterator[Look]:
    """Yield each image of a batch that has gone through a plan."""
    with torch.inference_mode():
        shown = {view: run.logits[view].double().softmax(dim=1).cpu().numpy() for view in plan.views}
    images = {view: run.images[view].cpu().numpy() for view in plan.views}
    for at, row in enumerate(batch.indices.tolist()):
        yield Look(
            row,
            {view: pixels[at] for view, pixels in images.items()},
            {view: probabilities[at] for view, probabilities in shown.items()},
        )
