"""The per-image table: one row per image and view, with all measures."""

from robustcheck.records.table import COLUMNS, MEASURE_OF, MEASURES, Column, Records, empty_columns

__all__ = ["COLUMNS", "MEASURES", "MEASURE_OF", "Column", "Records", "empty_columns"]
