"""The per-image table: one row per image and view, with all measures."""

from robustcheck.records.measures import COLUMNS, MEASURES, Measure, find_measure
from robustcheck.records.table import Column, Records, Rows, as_rows, empty_rows

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
