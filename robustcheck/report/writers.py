"""The reports that a run was asked for: checked before it, written after it, each imported when it is.

A report's format is a module of `robustcheck.report.formats` that its option names. It has NAME, that of the option;
`check(settings)`, where something may be missing; `write(run, summary, path)`, which returns the files that it wrote;
and, where `python -m robustcheck report` is to make it, the SUFFIX of its files and `render(summary)`.
Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustcheck.atomic_io import atomic_write
from robustcheck.byte_size import format_size
from robustcheck.errors import RobustcheckError
from robustcheck.options.table import OPTIONS, Settings
from robustcheck.report import formats
from robustcheck.text import short_path

if TYPE_CHECKING:
    from robustcheck.report.run import FinishedRun


def check(settings: Settings) -> None:
    """Raise `RobustcheckError` where a report can't be written: a run may take hours before it would show."""
    for module, path in _asked_for(settings):
        if path.is_dir():
            raise RobustcheckError(f"--robustcheck-{module.NAME}={path} is a folder; give the path of a file")
        getattr(module, "check", lambda _settings: None)(settings)
    if settings.store not in {None, "off"}:
        from robustcheck.records.parquet import require_pyarrow

        require_pyarrow()
    if settings.artifacts is not None and settings.artifacts.is_file():
        raise RobustcheckError(f"--robustcheck-artifacts={settings.artifacts} is a file; give a folder")


def are_asked_for(settings: Settings) -> bool:
    """Whether any report of the whole run is."""
    return any(getattr(settings, option.attribute) for option in OPTIONS if option.format)


def is_read_by_ci(add_suite_property: object) -> bool:
    """Whether a CI system reads the run: there is a JUnit file, or GitHub's summary or log."""
    on_github = "GITHUB_STEP_SUMMARY" in os.environ or os.environ.get("GITHUB_ACTIONS") == "true"
    return add_suite_property is not None or on_github


def shown(run: FinishedRun, settings: Settings, root: Path) -> FinishedRun:
    """Return the run as reports that leave the machine show it."""
    from robustcheck.report.redaction import without_paths

    return run if settings.full_paths else without_paths(run, root)


def write(run: FinishedRun, settings: Settings) -> Iterator[str]:
    """Write what is asked for and yield a line for each file; raises `RobustcheckError` for one that can't be."""
    from robustcheck.report.summary import summary_of

    asked = list(_asked_for(settings))
    summary = summary_of(run, plots=bool(asked))
    for module, path in asked:
        if settings.forecast and module.NAME != "json":
            yield f"{module.NAME} not written: a forecast is written as JSON alone (--robustcheck-json)"
            continue
        try:
            written = module.write(run, summary, path)
        except RobustcheckError as error:
            raise RobustcheckError(f"--robustcheck-{module.NAME}: {error}") from None
        for file in written:
            yield f"{module.NAME} written to {short_path(file)} ({format_size(file.stat().st_size)})"


def write_by_suffix(run: FinishedRun, path: Path) -> None:
    """Write a run in the format that a file's name ends in; raises `RobustcheckError` for another ending."""
    import pkgutil

    from robustcheck.report.summary import summary_of

    modules = [
        import_module(f"{formats.__name__}.{each.name}") for each in pkgutil.iter_modules(formats.__path__)
    ]
    by_suffix = {module.SUFFIX: module for module in modules if hasattr(module, "SUFFIX")}
    if path.suffix.lower() not in by_suffix:
        raise RobustcheckError(f"{path}: a report's name ends in {', '.join(sorted(by_suffix))}")
    atomic_write(path, by_suffix[path.suffix.lower()].render(summary_of(run)))


def write_for_ci(
    run: FinishedRun,
    add_suite_property: Callable[[str, object], None] | None,
    *,
    junit_family: str = "xunit1",
) -> Iterator[str]:
    """Write the JUnit suite's properties and GitHub's summary, and yield what a person should know of them.

    Where the file's family, xunit2, allows no properties of test cases, those of the claims are the suite's as well.
    """
    from robustcheck.report.summary import summary_of

    summary = summary_of(run, plots=False)
    if add_suite_property is not None:
        from robustcheck.report.formats.junit import of_claims, of_suite

        for name, text in of_suite(summary):
            add_suite_property(name, text)
        if junit_family == "xunit2" and summary.claims:
            for key, value in of_claims(summary.claims):
                add_suite_property(key, value)
            yield "junit: the claims' numbers are properties of the suite (-o junit_family=xunit1: of each test)"
    from robustcheck.report.formats.github import append_summary

    try:
        append_summary(summary)
    except OSError as error:
        yield f"no summary was written: {error}"


def error_annotations(run: FinishedRun, root: Path) -> list[str]:
    """Return GitHub's annotations of the claims that failed, as workflow commands, each a line of the log."""
    from robustcheck.report.formats.github import error_commands

    return list(error_commands(run.claims, root))


def _asked_for(settings: Settings) -> Iterator[tuple[Any, Path]]:
    """Yield the module of each report that is asked for, and where it is to be written."""
    for option in OPTIONS:
        path = getattr(settings, option.attribute) if option.format else None
        if path is not None:
            yield import_module(f"{formats.__name__}.{option.format}"), path
