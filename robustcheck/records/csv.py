"""Records as text: a JSON header in comment lines, then a CSV table with one line per image.

    # robustcheck records 1
    # {
    #   "provenance": {"model": "...", ...},
    #   "views": ["x", "Adv_1"]
    # }
    id,name,label,x:prediction,x:p_top,x:linf,x:l2,Adv_1:prediction,...

`pandas.read_csv(path, comment="#")` reads it, and it can be committed: equal runs write equal files. An
image on which a view was not evaluated has empty cells there. What follows from the columns that are there
(`correct`, `kept`) is computed when it is read.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from robustcheck.atomic_io import atomic_write
from robustcheck.errors import RobustcheckError
from robustcheck.notation import NotationError, View, X, parse
from robustcheck.records.measures import TABLE
from robustcheck.records.provenance import Provenance
from robustcheck.records.table import Column, Records, Rows, as_rows

VERSION = 1
_MAGIC = f"# robustcheck records {VERSION}"
_IMAGE = ("id", "name", "label")
_STORED = tuple(name for name, measure in TABLE.items() if not measure.is_derived)
_CURE = "take the file as it was saved (from version control?), or save the baseline anew"


def save(records: Records, path: Path, extra: Mapping[str, Any] | None = None) -> None:
    """Write records to a file, whole or not at all; `extra` joins the header."""
    atomic_write(path, dumps(records, extra))


def load(path: Path) -> tuple[Records, dict[str, Any]]:
    """Return the records of a file and its header.

    Raises `RobustcheckError`, naming the line, for a file that is not whole or not of this version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RobustcheckError(f"the records {path} can't be read: {error}") from None
    return loads(text, str(path))


def dumps(records: Records, extra: Mapping[str, Any] | None = None) -> str:
    """Return records as text; equal records give equal text."""
    views = [str(view) for view in records.views]
    header = {
        "provenance": records.provenance.header(),
        "views": views,
        "images": len(records),
        **(extra or {}),
    }
    out = io.StringIO()
    out.write(_MAGIC + "\n")
    out.writelines(f"# {line}\n" for line in json.dumps(header, indent=1).splitlines())
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_IMAGE, *(f"{view}:{column}" for view in views for column in _STORED)])
    cells = [_cells(records, view, column) for view in records.views for column in _STORED]
    names = map(_escaped, records.names)
    writer.writerows(zip(records.ids, names, records.labels.tolist(), *cells, strict=True))
    return out.getvalue()


def loads(text: str, where: str = "records") -> tuple[Records, dict[str, Any]]:
    """Return the records and the header of a text made by `dumps`; `where` names it in errors."""
    lines = text.splitlines(keepends=True)
    end = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = _read_header(lines[:end], where)
    views = [parse(view) for view in header["views"]]
    if len(set(views)) != len(views) or "\0" in text:
        raise RobustcheckError(f"{where} names a view twice, or holds a zero byte; {_CURE}")
    try:
        rows = list(csv.reader(io.StringIO("".join(lines[end:]), newline=""), strict=True))
    except csv.Error as error:
        raise RobustcheckError(
            f"{where}: the table from line {end + 1} on can't be read: {error}; {_CURE}"
        ) from None
    columns = [*_IMAGE, *(f"{view}:{column}" for view in header["views"] for column in _STORED)]
    if not rows or rows[0] != columns:
        raise RobustcheckError(
            f"{where}, line {end + 1}: the table's columns are not those of its views; {_CURE}"
        )
    for number, row in enumerate(rows[1:], end + 2):
        if len(row) != len(columns):
            raise RobustcheckError(
                f"{where}, line {number}: {len(row)} cells where {len(columns)} belong; {_CURE}"
            )
    if not text.endswith("\n") or len(rows) - 1 != header.get("images", len(rows) - 1):
        raise RobustcheckError(
            f"{where} is cut off: {len(rows) - 1} whole lines of {header.get('images', 'its')} images; {_CURE}"
        )
    body = rows[1:]
    table = dict(zip(columns, zip(*body, strict=True), strict=True)) if body else dict.fromkeys(columns, ())
    return _records(header, views, table, where), header


def _cells(records: Records, view: View, column: str) -> list[str]:
    seen = records.seen(view)
    values = records.column(column, view)
    return [_number(value) if there else "" for value, there in zip(values.tolist(), seen, strict=True)]


def _escaped(name: str) -> str:
    """Return a file's name as it is if it can be shown, else with escapes: a line of the table is a line."""
    return json.dumps(name, ensure_ascii=not name.isprintable())[1:-1]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.9g}"


def _read_header(lines: list[str], where: str) -> dict[str, Any]:
    if not lines or not lines[0].startswith("# robustcheck records "):
        raise RobustcheckError(f"{where} holds no records: it does not begin with {_MAGIC!r}; {_CURE}")
    if lines[0].rstrip() != _MAGIC:
        raise RobustcheckError(
            f"{where} is of another version: {lines[0].strip()!r}, this one reads {_MAGIC!r}; {_CURE}"
        )
    try:
        header: dict[str, Any] = json.loads("".join(line[1:] for line in lines[1:]))
        Provenance.from_header(header.get("provenance", {}))
        if X not in [parse(view) for view in header["views"]]:
            raise RobustcheckError(f"{where}: the header names no clean images, view x; {_CURE}")
    except NotationError as error:
        raise RobustcheckError(f"{where}: {error}\n{_CURE}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RobustcheckError(
            f"{where}: the header, lines 2 to {len(lines)}, is damaged: {error!r}; {_CURE}"
        ) from None
    return header


def _records(
    header: Mapping[str, Any], views: list[View], table: Mapping[str, tuple[str, ...]], where: str
) -> Records:
    if not table["id"]:
        raise RobustcheckError(f"{where} holds no images: there is no line below its header; {_CURE}")
    names = tuple(_column(table, "name", where, lambda cell: str(json.loads(f'"{cell}"'))))
    labels = np.array(_column(table, "label", where, _label), dtype=np.int64)
    stored = {view: _stored_columns(str(view), table, where) for view in views}
    top = stored[X]["prediction"]
    columns = {view: _complete(own, labels, top) for view, own in stored.items()}
    return Records(table["id"], names, labels, columns, Provenance.from_header(header.get("provenance", {})))


def _column(
    table: Mapping[str, tuple[str, ...]], name: str, where: str, read: Callable[[str], Any]
) -> list[Any]:
    """The cells of a column, read; the error for one that can't be names its row and column."""
    values = []
    for row, cell in enumerate(table[name], 1):
        try:
            values.append(read(cell))
        except ValueError as error:  # noqa: PERF203 - the row is wanted
            problem = f"{cell!r} is not what belongs there ({error})"
            raise RobustcheckError(f"{where}, image {row}, column {name!r}: {problem}; {_CURE}") from None
    return values


def _label(cell: str) -> int:
    label = int(cell)
    if label < -1:
        raise ValueError("a class index, or -1 for none")
    return label


def _measured(column: str, cell: str) -> float:
    if not cell:
        return math.nan
    value, measure = float(cell), TABLE[column]
    low, high = measure.range
    if not low <= value <= high or math.isinf(value) or (measure.kind == "class" and value % 1):
        kind = "a class index" if measure.kind == "class" else f"a number from {low:g} to {high:g}"
        raise ValueError(f"it is {kind}, or nothing where the view was not evaluated")
    return value


def _stored_columns(view: str, table: Mapping[str, tuple[str, ...]], where: str) -> dict[str, Column]:
    columns: dict[str, Column] = {
        name: np.array(_column(table, f"{view}:{name}", where, partial(_measured, name))) for name in _STORED
    }
    given = [np.isnan(values) for values in columns.values()]
    if any((each != given[0]).any() for each in given):
        raise RobustcheckError(f"{where}: {view} has images with some of its cells and not others; {_CURE}")
    predicted = columns["prediction"]
    columns["prediction"] = np.where(np.isnan(predicted), -1, predicted).astype(np.int64)
    return columns


def _complete(stored: dict[str, Column], labels: Column, top: Column) -> Rows:
    prediction = stored["prediction"]
    seen = prediction >= 0
    derived: dict[str, Column] = {
        "correct": np.where(seen & (labels >= 0), prediction == labels, np.nan),
        "kept": np.where(seen, prediction == top, np.nan),
    }
    return as_rows(stored | derived)
