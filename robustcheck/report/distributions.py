"""How p(l_x) is spread over the images: box plots of each view, and one view against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustcheck.notation import View, X
from robustcheck.report.view_order import sort_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from robustcheck.records import Records

MOST_POINTS = 600
"""Up to here each image is a point; above, points would be blots and their density is drawn."""
CELLS = 40
"""Cells of the density a side."""
MOST_SCATTERS = 6


@dataclass(frozen=True)
class Box:
    """Quantiles of p(l_x) under a view: whiskers are the 5 % and 95 % ones, as the images' spread."""

    view: str
    kind: str
    n: int
    low: float
    q1: float
    median: float
    q3: float
    high: float
    mean: float


@dataclass(frozen=True)
class Scatter:
    """p(l_x) of each image under `across` (x axis) and `up` (y axis)."""

    across: str
    up: str
    kind: str
    """That of `up`."""
    n: int
    above: float
    """The share of images for which it is larger under `up`."""
    points: tuple[tuple[float, float], ...]
    """The images, where they are few."""
    counts: tuple[tuple[int, ...], ...]
    """How many images lie in each cell, where they are many: rows from below, `CELLS` each way."""


def box_of(records: Records, view: View) -> Box:
    """Return how p(l_x) is spread over the images that a view has seen."""
    values = records.columns[view]["p_top"][records.seen(view)]
    low, q1, median, q3, high = (float(value) for value in np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)))
    return Box(str(view), view.kind, len(values), low, q1, median, q3, high, float(values.mean()))


def scatters_of(records: Records, views: Sequence[View]) -> tuple[tuple[Scatter, ...], int]:
    """Return the paper's scatter plots, and how many defended attacks were left out.

    For each defence of an attack D(A): p(l_x|x) against p(l_x|D(A)), and p(l_x|A) against it.
    """
    there = set(views)
    defended = [
        view
        for view in views
        if view.kind == "defence" and view.source.kind == "attack" and view.source in there
    ]
    defended.sort(key=lambda view: (len(view.source.written) + len(view.written), sort_key(view)))
    drawn = defended[: MOST_SCATTERS // 2]
    pairs = [(view, X) for view in drawn if X in there] + [(view, view.source) for view in drawn]
    plots = tuple(_scatter(records, across, up) for across, up in pairs)
    return plots, len(defended) - len(drawn)


def _scatter(records: Records, across: View, up: View) -> Scatter:
    seen = records.seen(across) & records.seen(up)
    x, y = (np.clip(records.columns[view]["p_top"][seen], 0.0, 1.0) for view in (across, up))
    few = len(x) <= MOST_POINTS
    return Scatter(
        across=str(across),
        up=str(up),
        kind=up.kind,
        n=len(x),
        above=float((y > x).mean()) if len(x) else 0.0,
        points=tuple(zip(x.round(4).tolist(), y.round(4).tolist(), strict=True)) if few else (),
        counts=() if few else _density(x, y),
    )


def _density(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[tuple[int, ...], ...]:
    counts, _, _ = np.histogram2d(y, x, bins=CELLS, range=((0, 1), (0, 1)))
    return tuple(tuple(row) for row in counts.astype(int).tolist())
