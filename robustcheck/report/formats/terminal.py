"""A finished run for the terminal: 80 columns, ASCII where the terminal is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from robustcheck.claims import changes_since
from robustcheck.claims.intervals import clopper_pearson
from robustcheck.claims.record_warnings import warnings_of
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View
from robustcheck.records import Records
from robustcheck.records.baseline import Baseline
from robustcheck.report.order import place
from robustcheck.report.run import Check, Finding, FinishedRun, ReportedClaim, Study

WIDTH = 80
MOST_NAMES = 5
_NUMBERS = f"{'top-1':>8}  {'95 % interval':^17}  {'p(top)':>7}  {'n':>6}"
_VIEW_WIDTH = WIDTH - len(_NUMBERS) - 2


def render(run: FinishedRun, *, encoding: str = "utf-8") -> list[str]:
    """Return the section's lines: for each study the table and what it was made with, claims, findings."""
    lines: list[str] = []
    for study in run.studies:
        lines += [*table(study.records), "", *_provenance(study.records), *_warnings(study), ""]
        if run.baseline is not None:
            lines += [*_changes(run.baseline, study.records), ""]
    if run.claims:
        several = len({claim.model for claim in run.claims}) > 1
        lines += ["claims", *(line for claim in run.claims for line in _claim(claim, several)), ""]
    if run.findings:
        lines += [
            "findings of arXiv 1608.00853",
            *(line for finding in run.findings for line in _finding(finding)),
            "",
        ]
    if run.checks:
        lines += ["checks of the evaluation", *(line for check in run.checks for line in _check(check)), ""]
    return [_printable(line, encoding) for line in lines[:-1]]


def changes(run: FinishedRun, *, encoding: str = "utf-8") -> list[str]:
    """Return what changed since the run's baseline alone."""
    baseline = run.baseline
    if baseline is None:
        return []
    lines = [line for study in run.studies for line in _changes(baseline, study.records)]
    return [_printable(line, encoding) for line in lines]


def table(records: Records) -> list[str]:
    """Return the paper's table: one row a view."""
    views = sorted((view for view in records.views if records.seen(view).any()), key=place)
    width = max(4, min(_VIEW_WIDTH, max((len(str(view)) for view in views), default=0)))
    rows = [line for view in views for line in _row(records, view, width)]
    stopped = any(not records.seen(view).all() for view in views)
    return [f"{'view':<{width}}  {_NUMBERS}", *rows, *(_stopped_note(records) if stopped else [])]


def _stopped_note(records: Records) -> list[str]:
    note = (
        f"Stopped early: of {len(records)} images a view has seen the n that its claims took. The intervals above "
        "are those of a sample of fixed size; the bounds of the claims below hold wherever they stopped."
    )
    return ["", *_wrapped(note)]


def _row(records: Records, view: View, width: int) -> Iterator[str]:
    seen = records.seen(view)
    count = int(seen.sum())
    top1, interval = "no label", ""
    if (records.labels[seen] >= 0).all():
        correct = int(records.columns[view]["correct"][seen].sum())
        bounds = clopper_pearson(correct, count)
        top1, interval = (
            f"{100 * correct / count:.1f} %",
            f"{100 * bounds.low:.1f} .. {100 * bounds.high:.1f} %",
        )
    name = str(view)
    if len(name) > width:
        yield name
        name = ""
    p_top = records.mean("p_top", view)
    yield f"{name:<{width}}  {top1:>8}  {interval:^17}  {p_top:>7.3f}  {count:>6}"


def _provenance(records: Records) -> Iterator[str]:
    for name, text in records.provenance.header().items():
        yield from _wrapped(text, initial_indent=f"{name:<11}", subsequent_indent=" " * 11)


def _warnings(study: Study) -> list[str]:
    return [
        line
        for warning in warnings_of(study.records, study.classes)
        for line in _wrapped(f"WARNING: {warning}", subsequent_indent=" " * 9)
    ]


def _changes(baseline: Baseline, records: Records) -> Iterator[str]:
    yield f"against the baseline {baseline.path.name}"
    try:
        changes = list(changes_since(baseline, records))
    except RobustcheckError as error:
        yield from _wrapped(str(error), initial_indent="  ", subsequent_indent="  ")
        return
    for difference in baseline.differences(records.provenance):
        yield from _wrapped(f"note: another {difference}", initial_indent="  ", subsequent_indent="    ")
    for view, change in changes:
        yield from _wrapped(f"{view}: {change!r}", initial_indent="  ", subsequent_indent="    ")
        for word, images in (("lost", change.lost), ("won", change.won)):
            if images:
                names = ", ".join(records.names[image] for image in images[:MOST_NAMES])
                more = f" and {len(images) - MOST_NAMES} more" if len(images) > MOST_NAMES else ""
                yield from _wrapped(
                    f"{word}: {names}{more}", initial_indent="    ", subsequent_indent="      "
                )


def _claim(claim: ReportedClaim, name_model: bool) -> Iterator[str]:
    yield from _wrapped(
        f"{claim.state.upper():<10}{claim.text}{f' ({claim.model})' if name_model else ''}",
        initial_indent="  ",
        subsequent_indent=" " * 12,
    )
    fits = len(claim.numbers) <= WIDTH - 12
    for note in (*([claim.numbers] if fits else claim.numbers.split("; ")), *claim.notes):
        yield from _wrapped(note, initial_indent=" " * 12, subsequent_indent=" " * 12)


def _finding(finding: Finding) -> Iterator[str]:
    state = "holds here" if finding.holds else "does not hold here"
    yield from _wrapped(f"{finding.text}: {state}", initial_indent="  ", subsequent_indent="  ")
    yield from _wrapped(finding.numbers, initial_indent="    ", subsequent_indent="    ")


def _check(check: Check) -> Iterator[str]:
    yield from _wrapped(
        f"{check.state:<9}{check.name}: {check.text}", initial_indent="  ", subsequent_indent=" " * 11
    )


def _wrapped(text: str, *, initial_indent: str = "", subsequent_indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=initial_indent,
        subsequent_indent=subsequent_indent,
        break_on_hyphens=False,
    )


def _printable(line: str, encoding: str) -> str:
    """Return the line without what the terminal can't show, or would obey."""
    line = "".join(char if char.isprintable() else "?" for char in line)
    try:
        line.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        line = line.encode("ascii", "backslashreplace").decode()
    return line
