"""The results for people and for programs: a line on the terminal, Markdown to paste, JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.gpu.results import Result


def line(result: Result) -> str:
    """The terminal's line."""
    start = f"({result.key}) {result.title:<26}{result.status:<8}{result.seconds:6.1f} s"
    return f"{start}  {said(result)}".rstrip()


def said(result: Result) -> str:
    """A step in few words: why it ended, what failed, else what it found."""
    failed = [f"FAILED {name}" for name, check in result.checks.items() if not check["ok"]]
    return "; ".join(filter(None, (result.reason, *(failed or [result.headline]))))


def write(folder: Path, results: Sequence[Result], about: dict[str, Any]) -> None:
    """Write results.json and results.md, each whole or not at all."""
    document = {"about": about, "steps": [asdict(result) for result in results]}
    _replace(folder / "results.json", json.dumps(document, indent=1) + "\n")
    _replace(folder / "results.md", markdown(results, about))


def markdown(results: Sequence[Result], about: dict[str, Any]) -> str:
    """All steps as Markdown."""
    facts = "".join(f"- {name}: {value}\n" for name, value in about.items())
    return "\n".join([f"# GPU check\n\n{facts}", _summary(results), *map(_section, results)])


def _summary(results: Sequence[Result]) -> str:
    rows = {
        f"({result.key}) {result.title}": {
            "ended": result.status,
            "on": result.where,
            "seconds": result.seconds,
            "in short": said(result),
        }
        for result in results
    }
    return table("step", rows)


def _section(result: Result) -> str:
    reason = f": {result.reason}" if result.reason else ""
    parts = [f"## ({result.key}) {result.title}: {result.status}{reason} ({result.seconds:.1f} s)\n"]
    if result.checks:
        parts.append("".join(_check(name, **check) for name, check in result.checks.items()))
    parts += [table(name, rows) for name, rows in result.tables.items()]
    if result.notes:
        parts.append("".join(f"- {note}\n" for note in result.notes))
    return "\n".join(parts)


def _check(name: str, *, ok: bool, detail: str) -> str:
    return f"- {'passed' if ok else '**FAILED**'}: {name}{f' ({detail})' if detail else ''}\n"


def table(name: str, rows: dict[str, dict[str, Any]]) -> str:
    """Rows as Markdown, under the names of their values."""
    columns = list(dict.fromkeys(column for values in rows.values() for column in values))
    lines = [[name, *columns], ["---", *["---:"] * len(columns)]]
    lines += [
        [label, *(in_short(values.get(column, "")) for column in columns)] for label, values in rows.items()
    ]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n" for cells in lines)


def in_short(value: Any) -> str:
    """A number as it is read.

    >>> in_short(1234567.0), in_short(42.123), in_short(0.123456), in_short(3), in_short(None)
    ('1,234,567', '42.1', '0.123', '3', 'not finite')
    """
    if value is None:
        return "not finite"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
