"""A finished run for the terminal: 80 columns, ASCII where the terminal is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from robustcheck.records.measures import MEASURES
from robustcheck.report.forecast import lines_of as forecast_lines
from robustcheck.report.mutation import lines_of
from robustcheck.report.run import Check, Finding, ReportedClaim
from robustcheck.report.summary import BaselineComparison, Row, StudySummary, Summary
from robustcheck.report.unfinished_attacks import UNFINISHED
from robustcheck.text import fixed, interval, percent, printable, wrapped

WIDTH = 80
MOST_NAMES = 5
Paint = Callable[[str, str], str]
_COLOURS = {"HOLDS": "green", "REFUTED": "red", "NOT SHOWN": "yellow", "EXPECTED TO FAIL": "yellow"}
_VERDICT = re.compile(rf"^  ({'|'.join(_COLOURS)})(?= )")
_LABELLED = next(measure for measure in MEASURES.values() if measure.needs_labels)
_NUMBERS = tuple(measure for measure in MEASURES.values() if not measure.binary)
_HEADINGS = "  ".join(
    [
        f"{_LABELLED.label:>8}",
        f"{'95 % interval':^17}",
        *(f"{measure.label:>7}" for measure in _NUMBERS),
        f"{'n':>6}",
    ]
)
_VIEW_WIDTH = WIDTH - len(_HEADINGS) - 2


def render(
    summary: Summary,
    *,
    encoding: str = "utf-8",
    verbosity: int = 0,
    paint: Paint = lambda text, _colour: text,
) -> list[str]:
    """Return the section's lines: for each study the table and what it was made with, claims, findings.

    `verbosity` is pytest's: below 0 the table and the verdicts, from 1 the whole provenance. `paint` gives a word
    the colour that is named.
    """
    several = len({claim.model for claim in summary.claims}) > 1
    blocks: list[list[str]] = []
    for study in summary.studies:
        provenance = _provenance(study, verbosity) if verbosity >= 0 else _identity(study, summary)
        unfinished = _unfinished(study) if verbosity >= 0 else []
        blocks += [table(study), [*provenance, *_warnings(study)], [*unfinished]]
        blocks += [[*_against(study.against)]] if study.against is not None else []
    for title, parts in (
        ("claims", [_claim(claim, several) for claim in summary.claims]),
        ("blind attacks", [_blind(summary)] if verbosity >= 0 else []),
        ("findings of arXiv 1608.00853", map(_finding, summary.findings)),
        ("checks of the evaluation", map(_check, summary.checks)),
        ("forecast", (_wrapped(line, "  ", "    ") for line in _forecast(summary))),
        ("mutations", (_wrapped(line, "  ", "    ") for line in _mutation(summary))),
    ):
        found = [line for part in parts for line in part]
        blocks += [[title, *found]] if found else []
    lines = [line for block in blocks if block for line in (*block, "")]
    return [_painted(line, paint) for line in _printable(lines[:-1], encoding)]


def changes(summary: Summary, *, encoding: str = "utf-8") -> list[str]:
    """Return what changed since the run's baseline alone."""
    compared = (study.against for study in summary.studies if study.against is not None)
    return _printable((line for against in compared for line in _against(against)), encoding)


def table(study: StudySummary) -> list[str]:
    """Return the paper's table: one row a view."""
    width = max(4, min(_VIEW_WIDTH, max((len(row.view) for row in study.rows), default=0)))
    rows = [line for row in study.rows for line in _row(row, width)]
    if study.stopped_early:
        note = (
            f"Stopped early: of {study.n} images a view has seen the n that its claims took. The intervals above "
            "are those of a sample of fixed size; the bounds of the claims below hold wherever they stopped."
        )
        rows += ["", *_wrapped(note)]
    return [f"{'view':<{width}}  {_HEADINGS}", *rows]


def _row(row: Row, width: int) -> Iterator[str]:
    name, shown = row.view, row.means[_LABELLED.name]
    if len(name) > width:
        yield name
        name = ""
    first, bounds = (
        ("no label", "") if shown is None else (percent(shown.value), f"{interval(shown.low, shown.high)} %")
    )
    numbers = "  ".join(
        f"{fixed(mean.value, 3):>{max(7, len(measure.label))}}" for measure, mean in row.numbers
    )
    yield f"{name:<{width}}  {first:>8}  {bounds:^17}  {numbers}  {row.n:>6}"


def _provenance(study: StudySummary, verbosity: int) -> list[str]:
    """Return what the numbers depend on: in four lines, or with -v all of it."""
    if verbosity > 0:
        named = study.provenance.items()
        return [line for name, text in named for line in _wrapped(text, f"{name:<11}", " " * 11)]
    return [_cut(f"{name:<11}{text}") for name, text in study.brief.items()]


def _identity(study: StudySummary, summary: Summary) -> list[str]:
    """Return, where a run has several studies, the model and the images of one."""
    named = ("model", "images") if len(summary.studies) > 1 else ()
    return [_cut(f"{name:<11}{study.brief[name]}") for name in named]


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


def _warnings(study: StudySummary) -> list[str]:
    return [line for warning in study.warnings for line in _wrapped(f"WARNING: {warning}", further=" " * 9)]


def _unfinished(study: StudySummary) -> Iterator[str]:
    if study.unfinished:
        yield UNFINISHED
    for attack in study.unfinished:
        yield from _wrapped(str(attack), "  ", "    ")


def _against(against: BaselineComparison) -> Iterator[str]:
    yield f"against the baseline {against.baseline}"
    for note in against.notes:
        yield from _wrapped(f"note: {note}" if against.changes else note, "  ", "    ")
    for n, views in against.unchanged.items():
        yield from _wrapped(f"none of {n:,} images lost or won: {', '.join(views)}", "  ", "    ")
    for change in against.changes:
        if change.is_unchanged:
            continue
        yield from _wrapped(f"{change.view}: {change}", "  ", "    ")
        for word, count, names in (
            ("lost", change.lost, change.lost_names),
            ("won", change.won, change.won_names),
        ):
            if count:
                more = f" and {count - MOST_NAMES} more" if count > MOST_NAMES else ""
                yield from _wrapped(f"{word}: {', '.join(names[:MOST_NAMES])}{more}", "    ", "      ")


def _claim(claim: ReportedClaim, name_model: bool) -> Iterator[str]:
    text = f"{claim.text}{f' ({claim.model})' if name_model else ''}"
    head = (
        f"{claim.outcome.upper():<9} {claim.name}: {text}"
        if claim.name
        else f"{claim.outcome.upper():<9} {text}"
    )
    if claim.name and len(head) > WIDTH - 2:  # the name, and the claim on a line of its own
        yield from _wrapped(f"{claim.outcome.upper():<9} {claim.name}:", "  ", " " * 12)
        yield from _wrapped(text, " " * 12, " " * 12)
    else:
        yield from _wrapped(head, "  ", " " * 12)
    blind = "; attack blind to the defence" if claim.blind_notes else ""
    numbers = f"{claim.numbers}{blind}"
    fits = len(numbers) <= WIDTH - 12 or not claim.comparison
    for note in (*((numbers,) if fits else (claim.comparison, claim.sample + blind)), *claim.own_notes):
        yield from _wrapped(note, " " * 12, " " * 12)


def _blind(summary: Summary) -> Iterator[str]:
    """Yield what is known of each attack that is blind to a defence, once however many claims are about it."""
    for note in dict.fromkeys(note for claim in summary.claims for note in claim.blind_notes):
        yield from _wrapped(note, "  ", "    ")


def _painted(line: str, paint: Paint) -> str:
    """Return a line of the section with the verdict that it begins with in colour."""
    found = _VERDICT.match(line)
    return line if found is None else f"  {paint(found[1], _COLOURS[found[1].strip()])}{line[found.end() :]}"


def _finding(finding: Finding) -> Iterator[str]:
    state = "holds here" if finding.holds else "does not hold here"
    yield from _wrapped(f"{finding.text}: {state}", "  ", "  ")
    yield from _wrapped(finding.numbers, "    ", "    ")


def _check(check: Check) -> Iterator[str]:
    yield from _wrapped(f"{check.state:<9}{check.name}: {check.text}", "  ", " " * 11)


def _mutation(summary: Summary) -> Iterator[str]:
    if summary.mutation is not None:
        yield from lines_of(summary.mutation)


def _forecast(summary: Summary) -> Iterator[str]:
    if summary.forecast is not None:
        yield from forecast_lines(summary.forecast)


def _wrapped(text: str, first: str = "", further: str = "") -> list[str]:
    return wrapped(text, WIDTH, initial_indent=first, subsequent_indent=further)


def _printable(lines: Iterable[str], encoding: str) -> list[str]:
    """Return the lines without what the terminal can't show, or would obey."""
    shown = []
    for line in lines:
        text = printable(line)
        try:
            text.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            text = text.encode("ascii", "backslashreplace").decode()
        shown.append(text)
    return shown
