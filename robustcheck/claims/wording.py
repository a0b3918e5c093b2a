"""How a verdict is told to the person who reads a CI log at night: pure functions from verdicts to text."""

from __future__ import annotations

import math
import textwrap

from robustcheck.claims.verdict import Verdict
from robustcheck.text import percent

WIDTH = 78
MOST_LINES = 8
_JUST = 1e-9
"""A margin below this is floating point's, not the model's."""


def one_line(verdict: Verdict) -> str:
    """Return the verdict with its claim, numbers and images in one line."""
    return f"<{verdict.state}: {_claim(verdict)}; {numbers(verdict)}>"


def numbers(verdict: Verdict) -> str:
    """Return the estimates and how many images they are from."""
    return f"{_sides(verdict)}; {_images(verdict)}"


def lines(verdict: Verdict) -> list[str]:
    """Return what the person at the log needs, most important first, in at most eight lines."""
    head = _wrap(f"{verdict.state.upper()}: {_claim(verdict)}", 2, first="", rest="    ")
    numbers = _wrap(_sides(verdict), 2)
    certain = _wrap(_certainty(verdict), 1)
    todo = _wrap(_todo(verdict), 2)
    room = MOST_LINES - sum(map(len, (head, numbers, certain, todo)))
    parts = _wrap(_parts(verdict), min(2, room)) if verdict.parts else []
    room -= len(parts)
    notes = [line for note in verdict.notes for line in _wrap(note, 2)][:room]
    return [*head, *numbers, *parts, *certain, *notes, *todo]


def _wrap(text: str, most: int, *, first: str = "  ", rest: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        max_lines=most,
        placeholder=" ...",
        break_on_hyphens=False,
    )


def _claim(verdict: Verdict) -> str:
    return verdict.claim or f"mean {verdict.relation} {_shown(verdict, verdict.threshold)}"


def _decimals(verdict: Verdict) -> int:
    """One, or as many as tell the estimate from the threshold."""
    gap = abs(100 * verdict.margin)
    return min(4, max(1, 1 - math.floor(math.log10(gap)))) if gap > _JUST else 1


def _shown(verdict: Verdict, value: float) -> str:
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else "unbounded"
    return percent(value, _decimals(verdict)) if verdict.percent else f"{value:.4g}"


def _bounds(verdict: Verdict, less: float = 0.0) -> str:
    if verdict.exact:
        return ""
    low, high = (_shown(verdict, end - less).removesuffix(" %") for end in (verdict.low, verdict.high))
    return f" ({low} .. {high})"


def _sides(verdict: Verdict) -> str:
    threshold, distance = verdict.threshold, _distance(verdict)
    if verdict.sides is None:
        left = f"left {_shown(verdict, verdict.estimate)}{_bounds(verdict)}"
        return f"{left}, right {_shown(verdict, threshold)}: {distance}"
    left, right = (_shown(verdict, side) for side in verdict.sides)
    gap = _shown(verdict, verdict.estimate - threshold).removesuffix(" %")
    difference = "" if verdict.exact else f", difference {gap}{_bounds(verdict, less=threshold)}"
    return f"left {left}, right {right}{difference}: {distance}"


def _distance(verdict: Verdict) -> str:
    size = abs(verdict.margin)
    if size < _JUST:
        return "just equal"
    shown = f"{100 * size:.{_decimals(verdict)}f} points" if verdict.percent else f"{size:.4g}"
    if verdict.margin > 0:
        return f"{shown} to spare"
    lenient = verdict.state == "holds" and verdict.tolerance
    return f"short by {shown}" + (", inside the tolerance" if lenient else "")


def _parts(verdict: Verdict) -> str:
    return "with " + ", ".join(f"{name} {_shown(verdict, value)}" for name, value in verdict.parts)


def _images(verdict: Verdict) -> str:
    if verdict.population is None:
        return f"n = {verdict.seen}"
    if verdict.seen == verdict.population:
        return f"all {verdict.seen} images"
    return f"n = {verdict.seen} of {verdict.population}"


def _certainty(verdict: Verdict) -> str:
    images = _images(verdict)
    if verdict.state == "not shown":
        return (
            f"{images}; evidence {_evidence(verdict.evidence_for)} for ({1 / verdict.alpha:.0f} needed), "
            f"{_evidence(verdict.evidence_against)} against ({1 / verdict.alpha_refute:.0f})"
        )
    if verdict.exact:
        return f"{images}: exact for these images and seeds"
    if math.inf in (verdict.evidence_for, verdict.evidence_against):
        return f"{images}: exact, the images left can't change it"
    risk = percent(verdict.alpha if verdict.state == "holds" else verdict.alpha_refute).replace(".0 ", " ")
    of = "for new images too" if verdict.about == "population" else "stopped there"
    return f"{images}: {of}, error at most {risk}"


def _evidence(value: float) -> str:
    return f"{value:.2g}" if value < 1000 else f"{value:.1g}"


def _todo(verdict: Verdict) -> str:
    if verdict.state == "holds":
        return ""
    if verdict.state == "refuted" and verdict.advice:
        return f"To do: {verdict.advice}"
    if verdict.state == "refuted":
        return (
            "To do: find what changed since it last held (model, weights, images, codec); "
            "change the number only if that is meant."
        )
    more = f"About {_rough(verdict.needed)} more images" if verdict.needed else "More images"
    budget = "" if verdict.seen == verdict.population else " or a larger budget"
    return f"To do: {more}{budget} can decide it. Rerunning with other seeds until green voids the guarantee."


def _rough(number: int) -> int:
    """Return a number in two digits: what is rough should look so."""
    return int(float(f"{number:.2g}"))
