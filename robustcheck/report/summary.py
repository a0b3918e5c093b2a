"""What a finished run comes to, as plain values: computed once, then shown as a page, as data or as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from robustcheck.claims import changes_since
from robustcheck.claims.intervals import clopper_pearson, t_interval
from robustcheck.claims.record_warnings import warnings_of
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View
from robustcheck.report.distributions import Box, Scatter, box_of, scatters_of
from robustcheck.report.order import place
from robustcheck.report.panel import Panel
from robustcheck.report.run import Check, Finding, FinishedRun, ReportedClaim, Study, Trouble
from robustcheck.report.sweeps import Sweep, sweeps_of

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
    accuracy: Bounded | None
    """None where not every image has a label."""
    top_probability: Bounded
    kept: Bounded
    largest_change: float
    """In pixel levels."""
    blind_to: tuple[str, ...]
    paper: tuple[float, float] | None
    """Top-1 accuracy and mean p(top) of the paper, where it has this view."""


@dataclass(frozen=True)
class Changed:
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


@dataclass(frozen=True)
class Against:
    """A study against the baseline."""

    baseline: str
    measure: str
    changes: tuple[Changed, ...] = ()
    notes: tuple[str, ...] = ()
    """What differs besides, or why there is nothing to compare."""


@dataclass(frozen=True)
class StudyFacts:
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
    against: Against | None
    provenance: dict[str, str]


@dataclass(frozen=True)
class Facts:
    """A whole run."""

    claims: tuple[ReportedClaim, ...]
    studies: tuple[StudyFacts, ...]
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    troubles: tuple[Trouble, ...]
    session: dict[str, str]

    def count(self, state: str) -> int:
        """Return how many claims are in a state."""
        return sum(claim.state == state for claim in self.claims)


def facts_of(run: FinishedRun) -> Facts:
    """Return what a run comes to."""
    return Facts(
        claims=run.claims,
        studies=tuple(_study(study, run.baseline) for study in run.studies),
        findings=run.findings,
        checks=run.checks,
        troubles=run.troubles,
        session=dict(run.session),
    )


def _study(study: Study, baseline: Baseline | None) -> StudyFacts:
    records = study.records
    views = sorted((view for view in records.views if records.seen(view).any()), key=place)
    rows = tuple(_row(records, view) for view in views)
    labelled = bool(rows) and all(row.accuracy is not None for row in rows)
    means = {view: (row.accuracy if labelled else row.kept) for view, row in zip(views, rows, strict=True)}
    scatters, left_out = scatters_of(records, views)
    provenance = records.provenance
    return StudyFacts(
        model=provenance.model.name or "a model",
        images=provenance.images.summary or f"{len(records)} images",
        n=len(records),
        measure="accuracy" if labelled else "kept",
        stopped_early=any(row.n < len(records) for row in rows),
        rows=rows,
        boxes=tuple(box_of(records, view) for view in views),
        scatters=scatters,
        left_out=left_out,
        sweeps=sweeps_of({view: (b.value, b.low, b.high) for view, b in means.items() if b is not None}),
        panels=study.panels,
        warnings=tuple(warnings_of(records, study.classes)) if rows else (),
        against=None if baseline is None else _against(baseline, records),
        provenance=provenance.header(),
    )


def _row(records: Records, view: View) -> Row:
    seen = records.seen(view)
    columns = records.columns[view][seen]
    labelled = bool((records.labels[seen] >= 0).all())
    p_top = np.clip(columns["p_top"], 0.0, 1.0)
    interval = t_interval(p_top, 0.0, 1.0)
    name = str(view)
    return Row(
        view=name,
        kind=view.kind,
        n=int(seen.sum()),
        accuracy=_proportion(columns["correct"]) if labelled else None,
        top_probability=Bounded(float(p_top.mean()), interval.low, interval.high),
        kept=_proportion(columns["kept"]),
        largest_change=float(columns["linf"].max()),
        blind_to=view.blind_to,
        paper=PAPER.get(name),
    )


def _proportion(values: NDArray[np.float64]) -> Bounded:
    successes, count = round(float(values.sum())), len(values)
    interval = clopper_pearson(successes, count)
    return Bounded(successes / count, interval.low, interval.high)


def _against(baseline: Baseline, records: Records) -> Against:
    measure = "accuracy" if (records.labels >= 0).all() else "kept"
    against = Against(baseline.path.name, measure)
    try:
        changes = tuple(_changes(baseline, records))
    except RobustcheckError as error:
        return replace(against, notes=(str(error),))
    notes = [f"another {difference}" for difference in baseline.differences(records.provenance)]
    if not changes:
        notes.append("no view was measured on all images in both")
    return replace(against, changes=changes, notes=tuple(notes))


def _changes(baseline: Baseline, records: Records) -> Iterator[Changed]:
    for view, change in sorted(changes_since(baseline, records), key=lambda pair: place(pair[0])):
        lost, won = (
            tuple(records.names[image] for image in images[:MOST_NAMES])
            for images in (change.lost, change.won)
        )
        yield Changed(
            view=str(view),
            kind=view.kind,
            old=change.old,
            new=change.new,
            low=change.interval.low,
            high=change.interval.high,
            lost=len(change.lost),
            won=len(change.won),
            n=change.n,
            p=change.p,
            lost_names=lost,
            won_names=won,
        )
