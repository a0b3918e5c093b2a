"""What GitHub shows of a run: a summary in Markdown, and annotations at the lines of claims that failed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from robustcheck.atomic_io import open_without_waiting
from robustcheck.records.measures import MEASURES
from robustcheck.report.mutation import MutationSummary, lines_of
from robustcheck.report.run import ReportedClaim
from robustcheck.report.summary import StudySummary, Summary
from robustcheck.report.unfinished_attacks import UNFINISHED
from robustcheck.text import fixed, interval, listed, percent, printable

SUFFIX = ".md"
LARGEST = 1024 * 1024
"""Bytes that GitHub takes of the summaries of one step; one that is larger is not shown at all."""
MOST_ANNOTATIONS = 10
"""Errors that GitHub shows of one step."""
MOST_OF_A_TEXT = 500
_SIGNS = {"holds": "✅", "refuted": "❌", "not shown": "❔", "expected to fail": "✖️"}
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+!|~&@$-])")


def render(summary: Summary, *, room: int = LARGEST) -> str:
    """Return verdicts and tables in GitHub's Markdown, of at most `room` bytes: what is too much is left out, with a note."""
    rest = "\n_The rest was left out: GitHub takes 1 MiB of a step._\n"
    left = room - len(rest.encode())
    kept: list[str] = []
    for part in _parts(summary):
        left -= len(part.encode())
        if left < 0:
            return "".join([*kept, rest]) if kept else ""
        kept.append(part)
    return "".join(kept)


def _parts(summary: Summary) -> Iterator[str]:
    yield "## robustcheck\n\n"
    warnings = (warning for study in summary.studies for warning in study.warnings)
    yield from (f"> [!WARNING]\n> {prose(warning)}\n\n" for warning in warnings)
    if summary.claims or summary.troubles:
        yield f"{_SIGNS[summary.worst]} **{summary.verdict}.**\n\n"
    for text, tests in summary.undecided.items():
        named = listed(map(code, tests))
        yield f"> [!CAUTION]\n> Nothing was decided by {named}: {prose(text[:MOST_OF_A_TEXT])}\n\n"
    if summary.claims:
        yield "| | claim | result | bounds | images | attack |\n|---|---|---|--:|--:|---|\n"
        yield from (_claim(claim) for claim in summary.worst_first)
        yield "\n"
    for study in summary.studies:
        yield f"### {prose(study.model)} on {prose(study.images)}\n\n"
        yield from _table(study)
        yield from _unfinished(study)
        yield from _against(study)
    if summary.findings:
        yield "### Findings of arXiv 1608.00853\n\n"
        for finding in summary.findings:
            state = "holds here" if finding.holds else "does not hold here"
            yield f"- {prose(finding.text)}: **{state}**. {prose(finding.numbers)}\n"
        yield "\n"
    if summary.mutation is not None:
        yield from _mutation(summary.mutation)
    failed = [check for check in summary.checks if check.state == "failed"]
    if summary.checks:
        yield f"### Checks of the evaluation\n\n{len(summary.checks) - len(failed)} of {len(summary.checks)} without a fault.\n\n"
        yield from (f"- ❌ {prose(check.name)}: {prose(check.text)}\n" for check in failed)
        yield "\n"
    for study in summary.studies:
        yield _provenance({**study.provenance, **summary.session})


def _provenance(lines: Mapping[str, str]) -> str:
    rows = "".join(f"| {prose(name)} | {code(text, cell=True)} |\n" for name, text in lines.items())
    return f"<details><summary>Provenance</summary>\n\n| | |\n|---|---|\n{rows}\n</details>\n"


def _mutation(mutation: MutationSummary) -> Iterator[str]:
    yield "### Mutations\n\n"
    yield from (f"- {prose(line)}\n" for line in lines_of(mutation))
    yield "\n"


def _claim(claim: ReportedClaim) -> str:
    percents = claim.estimate is not None
    estimate = prose(claim.comparison or claim.numbers)
    name = f"**{prose(claim.name)}**<br>" if claim.name else ""
    bounds = "exact" if claim.exact else f"{percent(claim.low)} to {percent(claim.high)}" if percents else ""
    whole = claim.seen == claim.population
    images = f"{'all ' if whole else ''}{claim.seen:,}{f' of {claim.population:,}' if claim.population and not whole else ''}"
    return (
        f"| {_SIGNS.get(claim.outcome, '❔')} {claim.outcome} | {name}{code(claim.text, cell=True)} | {estimate} | {bounds} | "
        f"{images} | {claim.attack} |\n"
    )


def _table(study: StudySummary) -> Iterator[str]:
    measures = [MEASURES[study.measure], *(measure for measure in MEASURES.values() if not measure.binary)]
    first, *others = (measure.label for measure in measures)
    yield f"| view | {first} | 95 % interval | {' | '.join(others)} | n |\n"
    yield f"|---|--:|:-:|{'--:|' * len(others)}--:|\n"
    for row in study.rows:
        shown, numbers = study.mean(row), "".join(f"{fixed(mean.value, 3)} | " for _, mean in row.numbers)
        yield (
            f"| {code(row.view, cell=True)} | {percent(shown.value)} | {interval(shown.low, shown.high)} % | "
            f"{numbers}{row.n:,} |\n"
        )
    yield "\n"


def _unfinished(study: StudySummary) -> Iterator[str]:
    if study.unfinished:
        yield f"{prose(UNFINISHED.capitalize())}:\n\n"
        yield from (f"- {prose(str(attack))}\n" for attack in study.unfinished)
        yield "\n"


def _against(study: StudySummary) -> Iterator[str]:
    if study.against is None:
        return
    yield f"Against the baseline {code(study.against.baseline)}:\n\n"
    yield from (f"- {prose(note)}\n" for note in study.against.notes)
    for n, views in study.against.unchanged.items():
        yield f"- none of {n:,} images lost or won: {', '.join(map(code, views))}\n"
    changed = [change for change in study.against.changes if not change.is_unchanged]
    if changed:
        yield "\n| view | then | now | points | lost | won | sign test p |\n|---|--:|--:|--:|--:|--:|--:|\n"
    for change in changed:
        yield (
            f"| {code(change.view, cell=True)} | {percent(change.old)} | {percent(change.new)} | "
            f"{fixed(100 * (change.new - change.old), 1, '+')} | {change.lost:,} | {change.won:,} | {change.p:.2g} |\n"
        )
    yield "\n"


def code(text: str, *, cell: bool = False) -> str:
    r"""Return a text as a code span, in which nothing means anything; `cell` is one of a table.

    >>> print(code("a`b"), code("a|b", cell=True))
    `` a`b `` `a\|b`
    """
    text = printable(text)
    if cell:
        text = text.replace("|", r"\|")
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if len(fence) > 1 or text.startswith(" ") or not text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def prose(text: str) -> str:
    r"""Return a text on one line in which no character is Markdown's or HTML's.

    >>> prose("JPG(Adv_1) <b>")
    'JPG\\(Adv\\_1\\) \\<b\\>'
    """
    return _MARKS.sub(r"\\\1", printable(" ".join(text.split())))


def append_summary(summary: Summary, environment: Mapping[str, str] = os.environ) -> None:
    """Append the summary to the file that GITHUB_STEP_SUMMARY names, if it does, within what GitHub takes."""
    named = environment.get("GITHUB_STEP_SUMMARY")
    if not named:
        return
    path = Path(named)
    room = LARGEST - (path.stat().st_size if path.exists() else 0)
    with open_without_waiting(path, os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)) as file:
        file.write(render(summary, room=room).encode("utf-8", "backslashreplace"))


def error_commands(
    claims: Iterable[ReportedClaim], root: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[str]:
    """Yield a workflow command for each of the first claims that failed, where GitHub runs this."""
    if environment.get("GITHUB_ACTIONS") != "true":
        return
    failed = [claim for claim in claims if claim.failed]
    above = Path(environment.get("GITHUB_WORKSPACE", root))
    for claim in failed[:MOST_ANNOTATIONS]:
        title = f"{claim.state.upper()}: {claim.title}"
        message = "\n".join([claim.numbers, *claim.notes, *([claim.test] if claim.test else [])])
        path = root / claim.file
        file = path.relative_to(above).as_posix() if path.is_relative_to(above) else claim.file
        where = {"file": file, "line": str(claim.line)} if claim.file else {}
        places = ",".join(f"{name}={_property(value)}" for name, value in {**where, "title": title}.items())
        yield f"::error {places}::{_data(message)}"


def _data(text: str) -> str:
    shown = "\n".join(printable(line) for line in text.split("\n"))
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
