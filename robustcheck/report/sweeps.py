"""Views that differ in one number alone, an attack's size or JPEG's quality, as lines over it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from robustcheck.notation import View, X
from robustcheck.report.view_order import sort_key

Axis = Literal["epsilon", "quality"]
_AXES: tuple[tuple[Axis, tuple[str, ...]], ...] = (
    ("epsilon", ("attack", "noise")),
    ("quality", ("defence",)),
)
_GAPS: dict[Axis, str] = {"epsilon": "ε", "quality": "q"}
"""What stands for the number in a line's name."""
MOST_LINES = 6


@dataclass(frozen=True)
class Point:
    """A view of the line: the number, and the mean with its interval."""

    amount: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """Views that are alike but for one number, which `name` leaves open."""

    name: str
    kind: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Sweep:
    """The lines over one axis."""

    axis: Axis
    lines: tuple[Line, ...]


def sweeps_of(means: Mapping[View, tuple[float, float, float]]) -> tuple[Sweep, ...]:
    """Return the lines of at least two numbers that some views make; means: value, low and high by view.

    Over epsilon they begin at 0, with the view that lacks the attack, where that is there.
    """
    found: defaultdict[tuple[Axis, str], dict[float, View]] = defaultdict(dict)
    for view in means:
        for axis, name, amount, without in _readings(view):
            found[axis, name].setdefault(amount, view)
            if axis == "epsilon" and without in means:
                found[axis, name].setdefault(0.0, without)
    sweeps = []
    for axis, _ in _AXES:
        lines = [
            _line(name, views, means)
            for (own, name), views in found.items()
            if own == axis and len([amount for amount in views if amount]) > 1
        ]
        if lines:
            lines.sort(key=lambda line: (len(line.name.split("[")), line.kind, line.name))
            sweeps.append(Sweep(axis, tuple(lines[:MOST_LINES])))
    return tuple(sweeps)


def _line(name: str, views: Mapping[float, View], means: Mapping[View, tuple[float, float, float]]) -> Line:
    ordered = sorted(views.items())
    longest = max((view for _, view in ordered), key=sort_key)
    return Line(name, longest.kind, tuple(Point(amount, *means[view]) for amount, view in ordered))


def _readings(view: View) -> Iterator[tuple[Axis, str, float, View]]:
    """Yield each number in a view: its axis, the view with a letter for it, the number, the view without that step."""
    for at in view.walk():
        for axis, kinds in _AXES:
            if at.kind in kinds and len(at.sources) == 1 and _is_number(at):
                open_ = replace(at, amount=_GAPS[axis])  # type: ignore[arg-type] # for its text alone
                yield axis, str(_put(view, at, open_)), float(at.number), _put(view, at, at.source)


def _is_number(view: View) -> bool:
    """Whether the step's amount is one number; a step by JPEG's default is, one without any or with a range is not."""
    if view.step == "JPG_noise":
        return False  # its amount is a quality that is none of its own
    amount: object = view.number if view.amount is None else view.amount
    return isinstance(amount, int | float) and amount > 0


def _put(view: View, old: View, new: View) -> View:
    """Return a view with one of its parts in another's place."""
    if view == old:
        return new
    return view if view == X else replace(view, sources=tuple(_put(part, old, new) for part in view.sources))
