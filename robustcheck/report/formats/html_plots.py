"""The page's plots as numbers and SVG path data; their markup is in the templates.

By hand, not by a plotting library: 50,000 points stay sharp in some 20 kB a plot, the colours follow the
reader's light or dark theme, and the labels are text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby

from robustcheck.report.distributions import CELLS, Scatter
from robustcheck.report.run import ReportedClaim
from robustcheck.report.sweeps import Line, Sweep

SQUARE = 240
"""Units of a scatter plot's square."""
LEVELS = 7
"""Shades of density."""
WIDTH, HEIGHT = 340, 200
"""Units of a line plot's field."""
_ASIDE = 3
"""Units by which lines stand beside one another, so that their intervals can be told apart."""
_DASHES = ("", "6 4", "2 3", "9 3 2 3", "1 4", "12 4")
_MARKS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "M-3.5 -3.5h7v7h-7z",
    "M0 -5L4.6 3.5h-9.2z",
    "M0 -5L5 0L0 5L-5 0z",
    "M-5 -3.5h10L0 5z",
    "M-4 -1.5h2.5v-2.5h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5z",
)


@dataclass(frozen=True)
class Shade:
    """The cells of one density, as a path in units of cells."""

    path: str
    opacity: float
    low: int
    high: int
    """From how many images to how many."""


def dots(scatter: Scatter) -> str:
    """Return a path of dots for the images of a scatter plot: strokes of no length, with round ends."""
    return "".join(f"M{SQUARE * x:.1f} {SQUARE * (1 - y):.1f}h0" for x, y in scatter.points)


def shades(scatter: Scatter) -> list[Shade]:
    """Return the cells of a density by shade, logarithmic in the number of images, light to dense."""
    most = max((count for row in scatter.counts for count in row), default=0)
    if not most:
        return []
    edges = sorted({math.ceil(most ** (level / LEVELS)) for level in range(1, LEVELS + 1)})
    shaded, low = [], 1
    for at, high in enumerate(edges, 1):
        path = "".join(_runs(scatter.counts, low, high))
        if path:
            shaded.append(Shade(path, round(0.12 + 0.88 * at / len(edges), 2), low, high))
        low = high + 1
    return shaded


def _runs(counts: Sequence[Sequence[int]], low: int, high: int) -> Iterator[str]:
    for y, row in enumerate(counts):
        for inside, run in groupby(range(len(row)), key=lambda x: low <= row[x] <= high):
            if inside:
                cells = list(run)
                yield f"M{cells[0]} {CELLS - 1 - y}h{len(cells)}v1h-{len(cells)}z"


@dataclass(frozen=True)
class Drawn:
    """One line of a line plot."""

    line: Line
    path: str
    whiskers: str
    marks: tuple[tuple[float, float], ...]
    mark: str
    dash: str


@dataclass(frozen=True)
class Chart:
    """A line plot: lines and the ticks of its x axis, in units of its field."""

    sweep: Sweep
    lines: tuple[Drawn, ...]
    ticks: tuple[tuple[float, str], ...]


def chart(sweep: Sweep) -> Chart:
    """Return a sweep as it is drawn; the y axis goes from 0 to 1."""
    amounts = sorted({point.amount for line in sweep.lines for point in line.points})
    low, high = amounts[0], amounts[-1]

    def across(amount: float) -> float:
        return round(WIDTH * (amount - low) / (high - low or 1), 1)

    lines = []
    for at, (line, mark, dash) in enumerate(zip(sweep.lines, cycle(_MARKS), cycle(_DASHES), strict=False)):
        aside = _ASIDE * (at - (len(sweep.lines) - 1) / 2)
        places = tuple((round(across(point.amount) + aside, 1), _up(point.value)) for point in line.points)
        whiskers = (
            f"M{x} {_up(point.low)}V{_up(point.high)}"
            for (x, _), point in zip(places, line.points, strict=True)
        )
        path = "M" + "L".join(f"{x} {y}" for x, y in places)
        lines.append(Drawn(line, path, "".join(whiskers), places, mark, dash))
    return Chart(sweep, tuple(lines), tuple(_ticks(amounts, across)))


def _up(value: float) -> float:
    return round(HEIGHT * (1 - value), 1)


def _ticks(amounts: Sequence[float], across: Callable[[float], float]) -> Iterator[tuple[float, str]]:
    last = -math.inf
    for amount in amounts:
        x = across(amount)
        if x - last >= 22:
            yield x, f"{amount:g}"
            last = x


@dataclass(frozen=True)
class Gauge:
    """A claim on a scale of 0 to 100 units: where the estimate, its bounds and the threshold are."""

    estimate: float
    low: float
    high: float
    threshold: float
    zero: float | None
    """Where 0 is, if it is inside the scale."""


def gauge(claim: ReportedClaim) -> Gauge | None:
    """Return a claim's numbers on one scale, or None where there are none to draw."""
    numbers = (claim.estimate, claim.low, claim.high, claim.threshold)
    known = [number for number in numbers if number is not None and math.isfinite(number)]
    if claim.estimate not in known or claim.threshold not in known:
        return None
    low, high = min(0.0, *(max(-1.0, n) for n in known)), max(1.0, *(min(2.0, n) for n in known))

    def at(value: float | None, otherwise: float) -> float:
        number = otherwise if value is None or math.isnan(value) else min(max(value, low), high)
        return round(100 * (number - low) / (high - low), 2)

    places = (at(claim.estimate, low), at(claim.low, low), at(claim.high, high), at(claim.threshold, low))
    return Gauge(*places, zero=at(0.0, low) if low < 0 else None)
