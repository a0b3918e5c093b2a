"""The records of a finished run, image by image, as CSV or Parquet, from which the other reports can be made again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from robustcheck.options.table import Settings
from robustcheck.records.parquet import PARQUET, require_pyarrow
from robustcheck.records.tables import write as write_records
from robustcheck.report.run import FinishedRun
from robustcheck.report.summary import Summary

NAME = "records"
_REPORTED = ("claims", "findings", "checks", "troubles")


def check(settings: Settings) -> None:
    """Raise `RobustcheckError` where the file is to be Parquet and pyarrow is not installed."""
    if settings.records is not None and settings.records.suffix.lower() == PARQUET:
        require_pyarrow()


def write(run: FinishedRun, _summary: Summary, path: Path) -> list[Path]:
    """Write a file for each study, numbered where they are several, with what else a report needs in its header."""
    reported = {name: [asdict(value) for value in getattr(run, name)] for name in _REPORTED}
    written = []
    for at, study in enumerate(run.studies, 1):
        own = path if len(run.studies) == 1 else path.with_name(f"{path.stem}-{at}{path.suffix}")
        extra = {
            "classes": study.classes,
            "integrity tests failed": list(run.failed_integrity),
            "run": {**reported, "session": dict(run.session)},
        }
        write_records(study.records, own, extra)
        written.append(own)
    return written
