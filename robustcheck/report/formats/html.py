"""A finished run as one page: no network, no other file, and nothing from outside that is not shown as text."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustcheck.atomic_io import atomic_write
from robustcheck.errors import RobustcheckError
from robustcheck.options.table import Settings
from robustcheck.report.formats import html_plots as plots
from robustcheck.report.mutation import lines_of
from robustcheck.report.run import FinishedRun, ReportedClaim
from robustcheck.report.summary import StudySummary, Summary
from robustcheck.report.unfinished_attacks import UNFINISHED
from robustcheck.text import fixed, percent, printable

if TYPE_CHECKING:
    from jinja2 import Environment

    from robustcheck.report.summary import Row

NAME = "report"
SUFFIX = ".html"
TEMPLATES = Path(__file__).parent / "templates"
MOST_CLAIMS = 2000
"""More would make a page that no one reads and no browser likes."""
NO_BREAK = "\u00a0"
_NOTHING = 1e-9
"""A smaller margin is floating point's."""
STATES = {
    "holds": ("✓", "holds"),
    "refuted": ("✗", "refuted"),
    "not shown": ("?", "open"),
    "expected to fail": ("-", "open"),
}
"""A sign and a CSS class for each verdict; the word stands beside the sign."""


def check(_settings: Settings | None = None) -> None:
    """Raise `RobustcheckError` that says what to install, where Jinja2 is not."""
    if find_spec("jinja2") is None:
        raise RobustcheckError(
            "the page is made with Jinja2, which is not installed: pip install 'pytest-robustcheck[report]'"
        )


def write(_run: FinishedRun, summary: Summary, path: Path) -> list[Path]:
    """Write the page."""
    atomic_write(path, render(summary))
    return [path]


def render(summary: Summary) -> str:
    """Return the page; every text in it that is not ours is escaped by the template engine."""
    check()
    script = (TEMPLATES / "sort.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    ordered = summary.worst_first
    page = (
        _environment()
        .get_template("page.html")
        .render(
            summary=summary,
            claims=ordered[:MOST_CLAIMS],
            failing=[claim for claim in ordered if claim.outcome in {"refuted", "not shown"}],
            blind_notes=tuple(dict.fromkeys(note for claim in ordered for note in claim.blind_notes)),
            title=_title(summary),
            states=STATES,
            plots=plots,
            mutation_lines=[*lines_of(summary.mutation)] if summary.mutation else [],
            script=_ours(script),
            style=_ours((TEMPLATES / "style.css").read_text("utf-8")),
            script_hash=_ours(f"'sha256-{digest}'"),
            headline=headline,
            unfinished=UNFINISHED,
            several=len({claim.model for claim in summary.claims}) > 1,
        )
    )
    return re.sub(r"\n\s*\n+", "\n", page)


def headline(study: StudySummary) -> list[tuple[str, Row]]:
    """Return the rows to begin with, each with what it is: clean images, the first attack, its first defence."""
    rows = {row.view: row for row in study.rows}
    first: list[tuple[str, Row]] = [("Clean images", rows["x"])] if "x" in rows else []
    attacks = [row for row in study.rows if row.kind == "attack"]
    if attacks:
        first.append(("Attacked", attacks[0]))
        defended = [row for row in study.rows if row.kind == "defence" and f"({attacks[0].view})" in row.view]
        first += [("Attacked, then defended", row) for row in defended[:1]]
    return first


def _title(summary: Summary) -> str:
    subjects = [f"{study.model} on {study.images}" for study in summary.studies]
    if not subjects:
        return "Nothing was evaluated"
    return subjects[0] if len(subjects) == 1 else f"{len(subjects)} studies"


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    environment.filters["fixed"] = fixed
    environment.filters["margin"] = _margin
    environment.filters["breakable"] = _breakable
    return environment


def _shown(value: Any) -> Any:
    """Return what a template prints: texts of others without what can't be seen."""
    return printable(value) if type(value) is str else value


def _ours(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - a file of this package, or a digest


def _breakable(view: str) -> Any:
    """Return a long view or name, escaped, that breaks behind its signs before it breaks in a word."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[(;,:_\[])", printable(view)))


def _percent(value: float | None, decimals: int = 1) -> str:
    """Return a share whose sign stays on the line of its number."""
    return percent(value, decimals).replace(" ", NO_BREAK)


def _margin(claim: ReportedClaim) -> str:
    """Return by how much an estimate is on its claim's side: in percentage points, where it is a share."""
    margin = claim.margin or 0.0
    if not claim.percent:
        return f"{margin:+.4g}"
    points = fixed(100 * margin, 1, "+")
    if not float(points):
        points = f"{100 * margin:+.2g}" if abs(margin) > _NOTHING else "0.0"
    return f"{points}{NO_BREAK}points"
