"""What a finished run comes to, as plain values: computed once, then shown on a terminal or a page, or as data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from robustcheck.claims import changes_since
from robustcheck.claims.expression import is_binary
from robustcheck.claims.intervals import clopper_pearson, t_interval
from robustcheck.claims.record_warnings import warnings_of
from robustcheck.claims.regression import change_text
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, parse
from robustcheck.records.measures import MEASURES, Measure, default_measure
from robustcheck.report.distributions import Box, Scatter, box_of, scatters_of
from robustcheck.report.forecast import RunForecast
from robustcheck.report.mutation import MutationSummary, mutation_summary
from robustcheck.report.panel import Panel
from robustcheck.report.run import Check, Finding, FinishedRun, Outcome, ReportedClaim, TestError, required
from robustcheck.report.study import Study
from robustcheck.report.sweeps import Sweep, sweeps_of
from robustcheck.report.unfinished_attacks import UnfinishedAttack, rising_count, unfinished_attacks
from robustcheck.report.view_order import sort_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from robustcheck.records import Records
    from robustcheck.records.baseline import Baseline

PAPER = {
    "x": (0.58, 0.61),
    "Adv_1": (0.23, 0.13),
    "Adv_5": (0.11, 0.04),
    "Adv_10": (0.09, 0.04),
    "JPG(Adv_1)": (0.48, 0.41),
    "JPG(Adv_5)": (0.26, 0.17),
    "JPG(Adv_10)": (0.17, 0.04),
    "JPG_noise(Adv_1)": (0.07, 0.06),
}
"""Table 1 of arXiv 1608.00853, OverFeat on ImageNet: top-1 accuracy and mean p(top)."""
MOST_NAMES = 20
WORST_FIRST: tuple[Outcome, ...] = ("refuted", "not shown", "expected to fail", "holds")


@dataclass(frozen=True)
class Bounded:
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One view in the table."""

    view: str
    kind: str
    n: int
    means: Mapping[str, Bounded | None]
    """By measure; None where it needs labels and not every image has one."""
    largest_change: float
    """In pixel levels."""
    blind_to: tuple[str, ...]
    paper: tuple[float, float] | None
    """Top-1 accuracy and mean p(top) of the paper, where it has this view."""
    rising: int | None
    """Images on which the attack had not succeeded and its loss was still rising when it stopped; None: not known."""

    @property
    def main(self) -> tuple[str, Bounded]:
        """The first measure that is a share of images, and its mean: accuracy, or without labels predictions kept."""
        return next((name, mean) for name, mean in self.means.items() if mean and MEASURES[name].binary)

    @property
    def numbers(self) -> list[tuple[Measure, Bounded]]:
        """The measures that are no shares of images, such as p(top), and their means."""
        found = ((MEASURES[name], mean) for name, mean in self.means.items() if mean is not None)
        return [(measure, mean) for measure, mean in found if not measure.binary]


@dataclass(frozen=True)
class ViewChange:
    """One view against the baseline."""

    view: str
    kind: str
    old: float
    new: float
    low: float
    high: float
    """The approximate 95 % interval of the change."""
    lost: int
    won: int
    n: int
    p: float
    lost_names: tuple[str, ...]
    won_names: tuple[str, ...]
    """The first of them."""

    @property
    def is_unchanged(self) -> bool:
        """Whether no image was lost or won."""
        return not (self.lost or self.won)

    def __str__(self) -> str:
        bounds, counts = (self.low, self.high), (self.lost, self.won, self.n)
        return change_text(self.old, self.new, bounds, counts, self.p, is_binary=not parse(self.view).draws)


@dataclass(frozen=True)
class BaselineComparison:
    """A study against the baseline."""

    baseline: str
    measure: str
    changes: tuple[ViewChange, ...] = ()
    notes: tuple[str, ...] = ()
    """What differs besides, or why there is nothing to compare."""

    @property
    def unchanged(self) -> Mapping[int, list[str]]:
        """The views under which no image was lost or won, by the number of images."""
        views: defaultdict[int, list[str]] = defaultdict(list)
        for change in self.changes:
            if change.is_unchanged:
                views[change.n].append(change.view)
        return views


@dataclass(frozen=True)
class StudySummary:
    """One classifier on one image set."""

    model: str
    images: str
    n: int
    measure: str
    """What is compared: accuracy, or without labels the share of predictions kept."""
    stopped_early: bool
    rows: tuple[Row, ...]
    boxes: tuple[Box, ...]
    scatters: tuple[Scatter, ...]
    left_out: int
    """How many further defended attacks could have been drawn as scatter plots."""
    sweeps: tuple[Sweep, ...]
    panels: tuple[Panel, ...]
    warnings: tuple[str, ...]
    unfinished: tuple[UnfinishedAttack, ...]
    """Attacks that were still rising on many images when they stopped."""
    against: BaselineComparison | None
    provenance: dict[str, str]
    brief: dict[str, str]
    """What a person looks for first of the provenance."""

    def mean(self, row: Row) -> Bounded:
        """Return a view's mean of what is compared."""
        return row.means[self.measure] or row.main[1]


@dataclass(frozen=True)
class Summary:
    """A whole run."""

    claims: tuple[ReportedClaim, ...]
    compared: tuple[ReportedClaim, ...]
    """What tests compared and did not require."""
    studies: tuple[StudySummary, ...]
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    mutation: MutationSummary | None
    """Of a run of the mutation suite, what its claims notice."""
    troubles: tuple[TestError, ...]
    session: dict[str, str]
    forecast: RunForecast | None = None
    """Of a run that judged nothing, what its claims are likely to need."""

    @property
    def worst_first(self) -> tuple[ReportedClaim, ...]:
        """The claims, those that do not hold first, each kind in the order of the tests."""
        return tuple(sorted(self.claims, key=lambda claim: WORST_FIRST.index(claim.outcome)))

    def count(self, state: str) -> int:
        """Return how many claims are in a state, or expected to fail."""
        return sum(claim.outcome == state for claim in self.claims)

    @property
    def worst(self) -> str:
        """What makes the run red, a claim's outcome; "refuted" where a test decided nothing, "holds" where it is green."""
        return "refuted" if self.troubles else next(filter(self.count, ("refuted", "not shown")), "holds")

    @property
    def undecided(self) -> Mapping[str, list[str]]:
        """The tests that decided nothing, by the text of their error."""
        tests: defaultdict[str, list[str]] = defaultdict(list)
        for trouble in self.troubles:
            tests[trouble.text].append(trouble.test)
        return tests

    @property
    def verdict(self) -> str:
        """What became of the claims, in a sentence: Of 7 claims, 2 are refuted."""
        text, failed = self._verdict_of_claims(), len(self.troubles)
        tests = f"{failed} test{'s' * (failed > 1)} failed"
        if not self.claims:
            return f"No claim was decided: {tests}" if failed else text
        return f"{text}; {tests} for another reason" if failed else text

    def _verdict_of_claims(self) -> str:
        count, held, expected = len(self.claims), self.count("holds"), self.count("expected to fail")
        if not count:
            return "No claim was made"
        failed = [(self.count(state), state) for state in ("refuted", "not shown")]
        if parts := [
            f"{number} {'is' if number == 1 else 'are'} {word}" for number, word in failed if number
        ]:
            return f"Of {count} claim{'s' * (count > 1)}, {' and '.join(parts)}"
        if count == 1:
            return "The claim holds" if held else "The claim was expected to fail, and did"
        was = "was" if expected == 1 else "were"
        return f"{held} of {count} claims hold" + (
            f", {expected} {was} expected to fail, and did" if expected else ""
        )


def summary_of(run: FinishedRun, *, plots: bool = True) -> Summary:
    """Return what a run comes to; without `plots` what only they need is left out."""
    return Summary(
        claims=required(run.claims),
        compared=tuple(claim for claim in run.claims if claim.role != "claim"),
        studies=tuple(_study(study, run.baseline, plots) for study in run.studies),
        findings=run.findings,
        checks=run.checks,
        mutation=mutation_summary(run),
        troubles=run.troubles,
        session=dict(run.session),
        forecast=run.forecast,
    )


def _study(study: Study, baseline: Baseline | None, plots: bool) -> StudySummary:
    records, provenance = study.records, study.records.provenance
    views = sorted((view for view in records.views if records.seen(view).any()), key=sort_key)
    rows = tuple(_row(records, view) for view in views)
    measure = default_measure(
        labelled=bool(rows) and all(mean is not None for row in rows for mean in row.means.values())
    )
    means = {view: row.means[measure] for view, row in zip(views, rows, strict=True)}
    scatters, left_out = scatters_of(records, views) if plots else ((), 0)
    drawn = {view: (mean.value, mean.low, mean.high) for view, mean in means.items() if mean and plots}
    return StudySummary(
        model=provenance.model.name or "a model",
        images=provenance.images.summary or f"{len(records)} images",
        n=len(records),
        measure=measure,
        stopped_early=any(row.n < len(records) for row in rows),
        rows=rows,
        boxes=tuple(box_of(records, view) for view in views if plots),
        scatters=scatters,
        left_out=left_out,
        sweeps=sweeps_of(drawn),
        panels=study.panels,
        warnings=tuple(warnings_of(records, study.classes)) if rows else (),
        unfinished=unfinished_attacks(records, views),
        against=None if baseline is None else _against(baseline, records),
        provenance=provenance.header(),
        brief=provenance.brief(),
    )


def _row(records: Records, view: View) -> Row:
    seen = records.seen(view)
    rows = records.columns[view][seen]
    labelled = bool((records.labels[seen] >= 0).all())
    rising = rising_count(records, view)
    return Row(
        view=str(view),
        kind=view.kind,
        n=len(rows),
        means={
            name: _bounded(rows[measure.column], is_share=is_binary(name, view))
            if labelled or not measure.needs_labels
            else None
            for name, measure in MEASURES.items()
        },
        largest_change=float(rows["linf"].max()),
        blind_to=view.blind_to,
        paper=PAPER.get(str(view)),
        rising=None if rising is None else rising[0],
    )


def _bounded(values: NDArray[np.float64], *, is_share: bool) -> Bounded:
    if is_share:
        successes, count = round(float(values.sum())), len(values)
        interval = clopper_pearson(successes, count)
        return Bounded(successes / count, interval.low, interval.high)
    values = np.clip(values, 0.0, 1.0)
    interval = t_interval(values, 0.0, 1.0)
    return Bounded(float(values.mean()), interval.low, interval.high)


def _against(baseline: Baseline, records: Records) -> BaselineComparison:
    measure = default_measure(labelled=records.is_labelled)
    against = BaselineComparison(str(baseline), measure, notes=tuple(baseline.notes(records)))
    try:
        changes = tuple(_changes(baseline, records))
    except RobustcheckError as error:
        return replace(against, notes=(str(error), *against.notes))
    nothing = () if changes else ("no image was evaluated under the same view in both",)
    return replace(against, changes=changes, notes=against.notes + nothing)


def _changes(baseline: Baseline, records: Records) -> Iterator[ViewChange]:
    for view, change in sorted(changes_since(baseline, records), key=lambda pair: sort_key(pair[0])):
        low, high = change.interval.low, change.interval.high
        lost, won = (
            tuple(records.names[image] for image in images[:MOST_NAMES])
            for images in (change.lost, change.won)
        )
        numbers = (change.old, change.new, low, high, len(change.lost), len(change.won), change.n, change.p)
        yield ViewChange(str(view), view.kind, *numbers, lost_names=lost, won_names=won)
