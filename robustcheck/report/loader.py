"""A run from the records that it saved: without its model, so without pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from robustcheck.errors import RobustcheckError
from robustcheck.records.baseline import Baseline
from robustcheck.records.tables import read
from robustcheck.report.run import Check, Finding, FinishedRun, Reported, ReportedClaim, TestError
from robustcheck.report.study import Study

_REPORTED: Mapping[str, type[Reported]] = {
    "claims": ReportedClaim,
    "findings": Finding,
    "checks": Check,
    "troubles": TestError,
}
"""What the header of a file of records holds of the run itself."""


def load_run(paths: Sequence[Path], *, against: Path | None = None) -> FinishedRun:
    """Return the run that some files of records are of, compared with those of another where that is given.

    Of files of one run, one for each model, claims and checks are taken once. Raises `RobustcheckError` for a
    file that is none, or is damaged.
    """
    loaded = [read(path) for path in paths]
    run = _run(loaded[0][1], paths[0])
    studies = tuple(Study(records, header.get("classes")) for records, header in loaded)
    baseline = None if against is None else Baseline.of(against, *read(against))
    return replace(run, studies=studies, baseline=baseline)


def _run(header: Mapping[str, Any], path: Path) -> FinishedRun:
    saved = header.get("run", {})
    try:
        reported: dict[str, Any] = {
            name: tuple(kind.from_plain(plain) for plain in saved.get(name, ()))
            for name, kind in _REPORTED.items()
        }
        return FinishedRun(session=_texts(saved.get("session", {})), **reported)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise RobustcheckError(
            f"the records {path} have a damaged header: {error}; take the file as it was saved"
        ) from None


def _texts(session: Mapping[str, Any]) -> dict[str, str]:
    if not all(isinstance(text, str) for text in session.values()):
        raise TypeError("session must be a mapping of names to texts")
    return dict(session)
