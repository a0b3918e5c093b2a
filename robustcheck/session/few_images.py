"""The few images that the mutation suite evaluates, and the part of a baseline that is about them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustcheck.images import ImageSet
from robustcheck.options.table import Settings
from robustcheck.records.baseline import Baseline


def draw(images: ImageSet, count: int, settings: Settings) -> ImageSet:
    """Return `count` images of a set, at random by the run's seed; those that can't be read are left out if so asked."""
    few = images.sample(count, seed=settings.seed, stratified=settings.stratify)
    return few.readable() if settings.bad_images == "skip" else few


def baseline_of(baseline: Baseline | None, images: ImageSet) -> Baseline | None:
    """Return a baseline's records of some images alone; as it is where it has not all of them, which is then an error."""
    if baseline is None:
        return None
    records = baseline.records
    free: dict[tuple[str, int], list[int]] = {}
    for row, key in enumerate(zip(records.ids, records.labels.tolist(), strict=True)):
        free.setdefault(key, []).append(row)
    keys = list(zip(images.ids, images.labels.tolist(), strict=True))
    if any(key not in free for key in keys):
        return baseline
    rows = np.array(
        [free[key][0 if len(free[key]) == 1 else free[key].pop(0)] for key in keys], dtype=np.int64
    )
    part = replace(
        records,
        ids=tuple(records.ids[row] for row in rows),
        names=tuple(records.names[row] for row in rows),
        labels=records.labels[rows],
        columns={view: own[rows] for view, own in records.columns.items()},
        drawn=None,
    )
    return replace(baseline, records=part)
