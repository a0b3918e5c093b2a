"""Records as tables for other programs, CSV or Parquet by the file's name, with the columns of `robustcheck.records.schema`.

A Parquet file has the header as JSON under the key `robustcheck` of its metadata. Either is written whole or not at
all, and can be read again by `read`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robustcheck.atomic_io import atomic_write
from robustcheck.errors import RobustcheckError
from robustcheck.records.csv import load, save
from robustcheck.records.measures import TABLE
from robustcheck.records.parquet import DAMAGED, PARQUET, from_parquet, to_parquet
from robustcheck.records.reader import records_of
from robustcheck.records.schema import NAMES, check_version, header_of, table_of
from robustcheck.records.table import Records

SUFFIXES = (".csv", PARQUET)
"""The endings of the names of files of records."""


def write(records: Records, path: Path, extra: Mapping[str, Any] | None = None) -> None:
    """Write records as CSV, or as Parquet where the file's name says so; `extra` joins the header."""
    if path.suffix.lower() == PARQUET:
        atomic_write(path, _to_parquet(records, extra))
    else:
        save(records, path, extra)


def read(path: Path) -> tuple[Records, dict[str, Any]]:
    """Return the records of a file that `write` made, or of a baseline, and its header.

    Raises `RobustcheckError` for a file that is not one, or is damaged.
    """
    if path.suffix.lower() != PARQUET:
        return load(path)
    try:
        table, header = from_parquet(path)
        check_version(header, str(path))
        return records_of(table, header, str(path)), dict(header)
    except DAMAGED as error:
        raise RobustcheckError(
            f"the records {path} can't be read as Parquet: {error}; take the file as it was saved, and let the name of a "
            "CSV file end in .csv"
        ) from None


def _to_parquet(records: Records, extra: Mapping[str, Any] | None) -> bytes:
    table = table_of(records)
    columns = {name: table.texts[name] if name in table.texts else table.numbers[name] for name in NAMES}
    empty = {
        measure.column: np.isnan(table.numbers[measure.column])
        for measure in TABLE.values()
        if measure.needs_labels or measure.is_optional
    }
    return to_parquet(columns, header_of(records, extra), empty)
