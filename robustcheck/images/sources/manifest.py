"""A table that lists images and their labels: CSV, TSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustcheck.errors import RobustcheckError
from robustcheck.images.decoding import printable
from robustcheck.images.image_set import ImageSet
from robustcheck.images.sources.columns import LABELS, TableSpec, as_labels, column
from robustcheck.images.sources.folder import image_set
from robustcheck.images.subset import Draw
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.text import first_line, listed

_PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img")
_SETTINGS = ("path", "label")


def open_manifest(location: str, preprocessing: Preprocessing, _draw: Draw | None = None) -> ImageSet:
    """Open the images that a table lists, in its order; paths in it are relative to its own folder.

    Columns are found by usual names (path, file, image; label, class, target) or named: `val.csv?path=file`.
    Labels are class indices or class names. RobustcheckError names the file and the line of an error; a path
    to nothing is a bad image, as in a folder.
    """
    spec = TableSpec.read(location, _SETTINGS)
    path = Path(spec.place).expanduser()
    if not path.is_file():
        raise RobustcheckError(f"images {location!r}: no file {path} (in {Path.cwd()}); check the path")
    header, rows, lines = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_text(path)
    paths_in = column(spec.settings.get("path"), _PATHS, header, what="path", where=str(path))
    if paths_in is None:
        raise RobustcheckError(
            f"{path} has no column of paths: its columns are {listed(header, 10) or 'none'}; call one path, or name it: "
            f"{spec.place}?path=COLUMN"
        )
    labels_in = column(spec.settings.get("label"), LABELS, header, what="label", where=str(path))
    if not rows:
        raise RobustcheckError(f"{path} must list images, got only a header: add a line for each image")
    where = [f"{path}, line {line}" for line in lines]
    paths = _paths([row[header.index(paths_in)] for row in rows], where)
    labels, names = ([-1] * len(rows), None)
    if labels_in is not None:
        labels, names = as_labels([row[header.index(labels_in)] for row in rows], where)
    shown = printable(str(path))
    return image_set(str(path.parent), paths, preprocessing, labels=labels, class_names=names, name=shown)


def _paths(values: Sequence[object], where: Sequence[str]) -> list[str]:
    for value, place in zip(values, where, strict=True):
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise RobustcheckError(
                f"{place}: path must be that of an image, from the table's folder, got {value!r}"
            )
    return [str(value) for value in values]


def _read_text(path: Path) -> tuple[list[str], list[list[Any]], list[int]]:
    """Return the header, the rows, and the line of each."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            read = [(row, reader.line_num) for row in reader if row]
    except UnicodeDecodeError as error:
        raise RobustcheckError(
            f"{path} must be UTF-8 text, got byte {error.object[error.start]:#x} at {error.start}; save it as UTF-8"
        ) from None
    except (csv.Error, OSError) as error:
        raise RobustcheckError(f"{path} can't be read as a table: {error}; save it again as CSV") from None
    if not read:
        raise RobustcheckError(f"{path} is empty: give a header such as path,label and a line for each image")
    header = [name.strip() for name in read[0][0]]
    for row, line in read[1:]:
        if len(row) != len(header):
            raise RobustcheckError(
                f"{path}, line {line} must have {len(header)} cells ({listed(header, 6)}), got {len(row)}: quote "
                "cells that contain the delimiter"
            )
    return header, [row for row, _ in read[1:]], [line for _, line in read[1:]]


def _read_parquet(path: Path) -> tuple[list[str], list[list[Any]], list[int]]:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError:
        raise RobustcheckError(f"{path} needs pyarrow: pip install 'pytest-robustcheck[parquet]'") from None
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise RobustcheckError(
            f"{path} can't be read as Parquet: {first_line(error)}; write it again"
        ) from None
    columns = [column.to_pylist() for column in table.columns]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return list(table.column_names), rows, list(range(1, len(rows) + 1))
