"""The per-image table: one row per image and view, with all measures."""

from robustcheck.records.measures import COLUMNS, MEASURES, Measure, find_measure
from robustcheck.records.rows import Column, Rows, as_rows, empty_rows
from robustcheck.records.table import Records

__all__ = [
    "COLUMNS",
    "MEASURES",
    "Column",
    "Measure",
    "Records",
    "Rows",
    "as_rows",
    "empty_rows",
    "find_measure",
]
