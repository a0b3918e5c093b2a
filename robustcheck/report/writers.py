"""The reports that a run was asked for: checked before it, written after it, each imported when it is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from robustcheck.atomic_io import write_whole
from robustcheck.byte_size import write_size
from robustcheck.errors import RobustcheckError
from robustcheck.options.table import Settings

if TYPE_CHECKING:
    from robustcheck.report.run import FinishedRun


_REPORTS = ("artifacts", "full-paths", "json", "records", "refresh", "report", "save", "store", "store-limit")
"""Options that don't bear on numbers."""


def check(settings: Settings) -> None:
    """Raise `RobustcheckError` where a report can't be written: a run may take hours before it would show."""
    if settings.report is not None:
        from robustcheck.report.formats.html import require_jinja2

        require_jinja2()
    if settings.records is not None and settings.records.suffix.lower() == ".parquet":
        from robustcheck.records.tables import require_pyarrow

        require_pyarrow()
    if settings.store not in {None, "off"}:
        from robustcheck.records.tables import require_pyarrow

        require_pyarrow()
    for name in ("report", "json", "records"):
        path: Path | None = getattr(settings, name)
        if path is not None and path.is_dir():
            raise RobustcheckError(f"--robustcheck-{name}={path} is a folder; give the path of a file")
    if settings.artifacts is not None and settings.artifacts.is_file():
        raise RobustcheckError(f"--robustcheck-artifacts={settings.artifacts} is a file; give a folder")


def are_asked_for(settings: Settings) -> bool:
    """Whether any report of the whole run is."""
    return any((settings.report, settings.json, settings.records))


def is_read_by_ci(add_suite_property: object) -> bool:
    """Whether a CI system is told of the run: there is a JUnit file, or GitHub's summary or log."""
    on_github = "GITHUB_STEP_SUMMARY" in os.environ or os.environ.get("GITHUB_ACTIONS") == "true"
    return add_suite_property is not None or on_github


def shown(run: FinishedRun, settings: Settings, root: Path) -> FinishedRun:
    """Return the run as reports that leave the machine show it."""
    from robustcheck.report.texts import without_paths

    return run if settings.full_paths else without_paths(run, root)


def write(run: FinishedRun, settings: Settings) -> Iterator[str]:
    """Write what is asked for and yield a line for each file; raises `RobustcheckError` for one that can't be."""
    from robustcheck.report.summary import facts_of

    facts = facts_of(run) if settings.report or settings.json else None
    if settings.report is not None and facts is not None:
        from robustcheck.report.formats.html import render

        yield _written(settings.report, "report", lambda path: write_whole(path, render(facts)))
    if settings.json is not None and facts is not None:
        from robustcheck.report.formats.json import render as as_json

        yield _written(settings.json, "json", lambda path: write_whole(path, as_json(facts)))
    if settings.records is not None:
        for path, at in _one_each(settings.records, len(run.studies)):
            yield _written(path, "records", lambda path, at=at: _write_records(run, at, path))  # type: ignore[misc]


def tell_ci(
    run: FinishedRun, root: Path, add_suite_property: Callable[[str, object], None] | None
) -> Iterator[str]:
    """Tell the CI system: the JUnit file's suite, GitHub's summary; yield GitHub's annotations."""
    from robustcheck.report.summary import facts_of

    facts = facts_of(run)
    if add_suite_property is not None:
        from robustcheck.report.formats.junit import of_suite

        for name, text in of_suite(facts):
            add_suite_property(name, text)
    from robustcheck.report.formats.github import append_summary, error_commands

    try:
        append_summary(facts)
    except OSError as error:
        yield f"no summary was written: {error}"
    yield from error_commands(run.claims, root)


def reproduce(nodeid: str, settings: Settings) -> str:
    """Return the command that runs one test again, with the options of this run that bear on its numbers."""
    given = []
    for name in sorted(settings.on_command_line - set(_REPORTS)):
        value = getattr(settings, name.replace("-", "_"))
        given.append(f"--robustcheck-{name}" if value is True else f"--robustcheck-{name}={value}")
    suite = nodeid.startswith("robustcheck/")  # a suite that ships has no file to name
    chosen = ["-k", nodeid.rpartition("::")[2].partition("[")[0]] if suite else [nodeid]
    return shlex.join(["pytest", *chosen, *given])


def _one_each(path: Path, count: int) -> Iterator[tuple[Path, int]]:
    """Yield a file for each study: the one that was named, or where they are several, numbered ones."""
    for at in range(count):
        yield (path if count == 1 else path.with_name(f"{path.stem}-{at + 1}{path.suffix}")), at


def _write_records(run: FinishedRun, at: int, path: Path) -> None:
    """Write a study's records, with what else the page needs of the run in the header."""
    from robustcheck.records.tables import write as write_records

    study = run.studies[at]
    extra = {
        "classes": study.classes,
        "integrity tests failed": list(run.failed_integrity),
        "run": {
            "claims": [asdict(claim) for claim in run.claims],
            "findings": [asdict(finding) for finding in run.findings],
            "checks": [asdict(check) for check in run.checks],
            "troubles": [asdict(trouble) for trouble in run.troubles],
            "session": dict(run.session),
        },
    }
    write_records(study.records, path, extra)


def _written(path: Path, name: str, save: Callable[[Path], None]) -> str:
    try:
        save(path)
    except RobustcheckError as error:
        raise RobustcheckError(f"--robustcheck-{name}: {error}") from None
    return f"{name} written to {path} ({write_size(path.stat().st_size)})"
