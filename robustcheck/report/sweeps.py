"""Views that differ in one number alone, such as an attack's epsilon or JPEG's quality, as lines over it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from robustcheck.notation import Span, View, X
from robustcheck.report.view_order import sort_key

EPSILON = "epsilon"
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

    axis: str
    """What the number is: epsilon, or what the registry calls a defence's amount."""
    lines: tuple[Line, ...]


def sweeps_of(means: Mapping[View, tuple[float, float, float]]) -> tuple[Sweep, ...]:
    """Return the lines of at least two numbers that some views make; means: value, low and high by view.

    Over epsilon they begin at 0, with the view that lacks the attack, where that is there.
    """
    found: defaultdict[tuple[str, str], dict[float, View]] = defaultdict(dict)
    for view in means:
        for axis, name, amount, without in _numbers(view):
            found[axis, name].setdefault(amount, view)
            if axis == EPSILON and without in means:
                found[axis, name].setdefault(0.0, without)
    sweeps = []
    for axis in sorted({axis for axis, _ in found}, key=lambda axis: (axis != EPSILON, axis)):
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


def _numbers(view: View) -> Iterator[tuple[str, str, float, View]]:
    """Yield each number in a view: its axis, the view with a letter for it, the number, the view without that step."""
    for at in view.walk():
        if axis := _axis(at):
            letter = "ε" if axis == EPSILON else axis[0]
            open_ = replace(at, amount=letter)  # type: ignore[arg-type] # for its text alone
            yield axis, str(_put(view, at, open_)), float(at.number), _put(view, at, at.source)


def _axis(view: View) -> str:
    """Return what a step's amount is; nothing for a step without any, for a range, or for a number that is not its own."""
    if len(view.sources) != 1 or view.declared.amount is None or isinstance(view.amount, Span):
        return ""
    name = view.declared.amount.name
    is_own = view.kind != "noise" or name == EPSILON  # that of noise of a codec's size is the codec's
    return name if is_own and view.number > 0 else ""


def _put(view: View, old: View, new: View) -> View:
    """Return a view with one of its parts in another's place."""
    if view == old:
        return new
    return view if view == X else replace(view, sources=tuple(_put(part, old, new) for part in view.sources))
