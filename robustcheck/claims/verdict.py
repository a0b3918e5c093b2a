"""What became of a claim, and how a person reads it in a CI log."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from robustcheck.errors import ClaimFailed
from robustcheck.text import fixed, percent, printable, wrapped

State = Literal["holds", "refuted", "not shown"]
About = Literal["testset", "population"]
Relation = Literal[">=", ">", "<=", "<"]

WIDTH = 78
BESIDE_MARK = 72
"""Columns that are left of 80 beside pytest's mark `E` and its blanks."""
MOST_LINES = 8
CONTRARY: dict[Relation, Relation] = {">=": "<", ">": "<=", "<=": ">", "<": ">="}
_CONTRARY_STATE: dict[State, State] = {"holds": "refuted", "refuted": "holds", "not shown": "not shown"}
_ROUNDING = 1e-9
"""A margin below this is floating point's, not the model's."""


@dataclass(frozen=True)
class Assistance:
    """How an earlier run's values of the same images helped to decide."""

    sample_mean: float
    """The mean of the images seen, without that help; of the quantity that the verdict estimates."""
    churn: float
    """The share of the images seen whose value is not the old one, of those that have an old one."""
    coverage: float = 1.0
    """The share of the images of which there are old values."""
    baseline: str = ""
    """Which run it was, such as "main (2026-11-20, 50,000 images)"."""

    def __str__(self) -> str:
        by = self.baseline or "a baseline"
        part = "" if self.coverage == 1 else f", which has {_round(self.coverage)} of the images"
        return f"assisted by {by}{part}, churn {_round(self.churn)} so far"


@dataclass(frozen=True)
class Verdict:
    """A mean against a threshold, and what the images seen say of it. True where the claim holds.

    `estimate`, `low`, `high` and `threshold` are of one quantity: what stands left of the relation, less the
    measures right of it. `low` and `high` bound it wherever the test stopped; the bound that the claim is about
    is wrong with probability at most `alpha`, the other with probability at most `alpha_refute`. Both equal the
    estimate where the verdict is `exact`: every image was seen, and nothing is left to chance.

    `repr` explains in one line, `explain()` in at most eight.
    """

    state: State
    seen: int
    population: int | None
    estimate: float
    low: float
    high: float
    evidence_for: float
    """By how much bets on the claim multiplied: for a false claim, 1/alpha with probability alpha at most."""
    evidence_against: float
    needed: int | None = None
    """About how many further images decide it; None where it is decided, or where no number would."""
    alpha: float = 0.05
    alpha_refute: float = 0.01
    threshold: float = 0.0
    relation: Relation = ">="
    tolerance: float = 0.0
    about: About = "testset"
    exact: bool = False
    claim: str | None = None
    sides: tuple[float, float] | None = None
    """The estimates left and right of the relation, where both sides were measured."""
    parts: tuple[tuple[str, float], ...] = ()
    """The means that the claim is made from, by name, where the sides don't show them."""
    percent: bool = False
    """Whether the numbers are shares, shown in percent."""
    assistance: Assistance | None = None
    """How a baseline helped; `estimate`, `low` and `high` are then by its help."""
    notes: tuple[str, ...] = ()
    blind_notes: tuple[str, ...] = ()
    """Those of the notes that say of a view that its attack is blind to the defence."""
    advice: str = ""
    """What to do where it is refuted, if that is not to look for what changed."""
    undecided: Literal["false", "true", "raise"] = "false"
    """What the truth value is where the claim is not shown. An assertion's comparison raises `ClaimFailed`, so that
    `assert not claim` does not take "not shown" for "refuted"; `on_undecided` can ask for true."""

    on_truth: Callable[[Verdict], bool | None] | None = field(default=None, compare=False, repr=False)
    """Called each time that a comparison's truth value is asked for; what it returns is that value, unless None."""

    def __bool__(self) -> bool:
        if self.on_truth is not None and (told := self.on_truth(self)) is not None:
            return told
        if self.state == "not shown" and self.undecided == "raise":
            raise ClaimFailed("\n".join(self.explain(width=BESIDE_MARK)), self)
        return self.state == "holds" or (self.undecided == "true" and self.state == "not shown")

    def __repr__(self) -> str:
        return printable(f"<{self.state}: {_claim(self)}; {self.comparison}; {self.sample}>")

    def negated(self) -> Verdict:
        """Return the verdict on the contrary, which `assert not claim` requires."""
        return replace(
            self,
            state=_CONTRARY_STATE[self.state],
            relation=CONTRARY[self.relation],
            claim=f"not {_claim(self)}",
            evidence_for=self.evidence_against,
            evidence_against=self.evidence_for,
            alpha=self.alpha_refute,
            alpha_refute=self.alpha,
        )

    @property
    def margin(self) -> float:
        """By how much the estimate is on the claim's side of the threshold; negative where it is not."""
        gap = self.estimate - self.threshold
        return gap if self.relation in {">=", ">"} else -gap

    @property
    def comparison(self) -> str:
        """What was measured, what the claim requires, and how far apart they are."""
        return f"{self.compared}: {_distance(self)}"

    @property
    def compared(self) -> str:
        """What was measured, and what the claim requires."""
        threshold, relation = self.threshold, self.relation
        if self.sides is None:
            return f"{_measured(self)}{_bounds(self)}, required {relation} {_shown(self, threshold)}"
        measured, required = (_shown(self, side) for side in self.sides)
        gap = _shown(self, self.estimate - threshold).removesuffix(" %")
        assisted = "assisted " if self.assistance else ""
        difference = "" if self.exact else f", {assisted}difference {gap}{_bounds(self, less=threshold)}"
        return f"measured {measured}, required {relation} {required}{difference}"

    @property
    def sample(self) -> str:
        """How many images the numbers are from."""
        if self.population is None:
            return f"n = {self.seen}"
        if self.seen == self.population:
            return f"all {self.seen} images"
        return f"n = {self.seen} of {self.population}"

    def explain(self, *, advise: bool = True, width: int = WIDTH) -> list[str]:
        """Return at most eight lines of at most `width` columns: verdict, both sides, n of N, what to do."""
        wrap = partial(_wrap, width=width)
        head = wrap(f"{self.state.upper()}: {_claim(self)}", 2, first="", rest="    ")
        numbers = wrap(self.comparison, 2)
        certainty = wrap(_certainty(self), 1)
        advice = wrap(_advice(self), 2) if advise else []
        if self.assistance:
            certainty += wrap(str(self.assistance), 1)
        room = MOST_LINES - sum(map(len, (head, numbers, certainty, advice)))
        parts = wrap(_parts(self), min(2, room)) if self.parts else []
        room -= len(parts)
        notes = [line for note in self.notes for line in wrap(note, 2)][:room]
        return [*head, *numbers, *parts, *certainty, *notes, *advice]


def compared_in_whole(verdicts: Sequence[Verdict], most: int) -> list[str]:
    """Return what was compared for a claim such as `C or D`: of more than `most` comparisons the closest."""
    shown = sorted(verdicts, key=lambda verdict: abs(verdict.margin))[: most - 1]
    kept = (
        verdicts
        if len(verdicts) <= most
        else [each for each in verdicts if any(each is one for one in shown)]
    )
    more = [f"and {len(verdicts) - len(kept)} more"] if len(kept) < len(verdicts) else []
    return [*(f"{_claim(verdict)}: {verdict.compared}" for verdict in kept), *more]


def explain_whole(text: str, verdicts: Sequence[Verdict], *, width: int = WIDTH) -> list[str]:
    """Return at most eight lines on a claim such as `C or D` that does not hold, with the verdicts to blame."""
    wrap = partial(_wrap, width=width)
    states = [verdict.state for verdict in verdicts]
    state: State = "not shown" if "not shown" in states else "refuted"
    head = wrap(f"{state.upper()}: {text}", 2, first="", rest="    ")
    certainty, advice = (
        wrap(_certainty(verdicts[-1]), 1),
        wrap(_advice(replace(verdicts[-1], state=state)), 2),
    )
    room = MOST_LINES - len(head) - len(certainty) - len(advice)
    lines = [line for each in compared_in_whole(verdicts, room) for line in wrap(each, 1)]
    return [*head, *lines, *certainty, *advice]


def _round(share: float) -> str:
    return percent(share).replace(".0 ", " ")


def _wrap(text: str, most: int, *, width: int, first: str = "  ", rest: str = "  ") -> list[str]:
    return wrapped(
        text, width, initial_indent=first, subsequent_indent=rest, max_lines=most, placeholder=" ..."
    )


def _claim(verdict: Verdict) -> str:
    return verdict.claim or f"mean {verdict.relation} {_shown(verdict, verdict.threshold)}"


def _decimals(verdict: Verdict) -> int:
    """One, or as many as distinguish the estimate from the threshold."""
    gap = abs(100 * verdict.margin)
    return min(4, max(1, 1 - math.floor(math.log10(gap)))) if gap > _ROUNDING else 1


def _shown(verdict: Verdict, value: float) -> str:
    if verdict.percent or not math.isfinite(value):
        return percent(value, _decimals(verdict))
    return f"{value:.4g}"


def _measured(verdict: Verdict) -> str:
    return f"{'assisted' if verdict.assistance else 'measured'} {_shown(verdict, verdict.estimate)}"


def _bounds(verdict: Verdict, less: float = 0.0) -> str:
    if verdict.exact:
        return ""
    low, high = (_shown(verdict, end - less).removesuffix(" %") for end in (verdict.low, verdict.high))
    if verdict.assistance is None:
        return f" ({low} .. {high})"
    return f" ({low} .. {high}; of the sample {_shown(verdict, verdict.assistance.sample_mean - less)})"


def _distance(verdict: Verdict) -> str:
    size = abs(verdict.margin)
    if size < _ROUNDING:
        return "equal"
    shown = f"{fixed(100 * size, _decimals(verdict))} points" if verdict.percent else f"{size:.4g}"
    if verdict.margin > 0:
        return f"{shown} to spare"
    return (
        f"{shown} short{', within the tolerance' if verdict.state == 'holds' and verdict.tolerance else ''}"
    )


def _parts(verdict: Verdict) -> str:
    return "with " + ", ".join(f"{name} {_shown(verdict, value)}" for name, value in verdict.parts)


def _certainty(verdict: Verdict) -> str:
    images = verdict.sample
    if verdict.state == "not shown":
        return (
            f"{images}; evidence {_evidence(verdict.evidence_for)} for ({1 / verdict.alpha:.0f} needed), "
            f"{_evidence(verdict.evidence_against)} against ({1 / verdict.alpha_refute:.0f})"
        )
    if verdict.exact:
        return f"{images}: exact for these images and seeds"
    if math.inf in (verdict.evidence_for, verdict.evidence_against):
        return f"{images}: exact, the images left can't change it"
    risk = _round(verdict.alpha if verdict.state == "holds" else verdict.alpha_refute)
    of = "for new images too" if verdict.about == "population" else "stopped there"
    return f"{images}: {of}, error at most {risk}"


def _evidence(value: float) -> str:
    return f"{value:.2g}" if value < 1000 else f"{value:.1g}"


def _advice(verdict: Verdict) -> str:
    """Return what to do where the claim does not hold."""
    if verdict.state == "holds":
        return ""
    if verdict.state == "refuted" and verdict.advice:
        return f"To do: {verdict.advice}"
    if verdict.state == "refuted":
        return (
            "To do: find what changed since it last held (model, weights, images, codec); "
            "change the number only if that is meant."
        )
    # Two digits: what is rough should look so.
    more = f"About {int(float(f'{verdict.needed:.2g}'))} more images" if verdict.needed else "More images"
    budget = "" if verdict.seen == verdict.population else " or a larger budget"
    return f"To do: {more}{budget} can decide it. Rerunning with other seeds until green voids the guarantee."
