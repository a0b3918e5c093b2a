"""Records as a CSV file that other programs read by their defaults, to equal values.

The table is that of `robustcheck.records.schema`. It has no comment lines; the header, as JSON, is the cell of a last column
`run` in the first row, empty in all others. Floats always have a point or an exponent, and are exact. The cells of
`id` and `name` begin with `img:`, so that no program takes one for a number, a missing value, a date or a formula;
what can't be printed in a name is escaped as in JSON.

    image,id,name,label,drawn,view,prediction,correct,p_top,kept,linf,l2,rising,run
    0,img:0f3a,img:cat.png,281,17,x,281,1.0,0.9312,1.0,0.0,0.0,,"{""format"": 3, ...}"

`pandas.read_csv(path)` reads it. Equal runs write equal files, which can be committed.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robustcheck.atomic_io import atomic_write
from robustcheck.errors import RobustcheckError
from robustcheck.notation import NotationError
from robustcheck.records.measures import COLUMNS, TABLE
from robustcheck.records.parquet import DAMAGED
from robustcheck.records.reader import records_of
from robustcheck.records.rows import Column
from robustcheck.records.schema import (
    INTEGERS,
    NAMES,
    READ_VERSIONS,
    READABLE,
    Table,
    Texts,
    check_version,
    header_of,
    names_of,
    table_of,
)
from robustcheck.records.table import Records
from robustcheck.regular_file import read_regular

PREFIX = "img:"
"""What the cells of `id` and `name` begin with."""
_RUN = "run"
_PREFIXED = ("id", "name")
_CURE = "take the file as it was saved (from version control?), or save the baseline anew"
_NO_TEXT = ("not text in UTF-8", _CURE)
_OTHER_FORMS = {
    b"\x1f\x8b": ("compressed by gzip", "unpack the file first"),
    b"PK": ("a ZIP archive", "unpack it first; of a spreadsheet, take the file that it was made from"),
    b"PAR1": ("a Parquet file", "let its name end in .parquet"),
    b"\xff\xfe": ("text in UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("text in UTF-16", "save it as UTF-8"),
}
"""What files of other forms start with, what they are, and what to do."""


def save(records: Records, path: Path, extra: Mapping[str, Any] | None = None) -> None:
    """Write records to a file, whole or not at all; `extra` joins the header."""
    atomic_write(path, dumps(records, extra))


def load(path: Path) -> tuple[Records, dict[str, Any]]:
    """Return the records of a file and its header.

    Raises `RobustcheckError`, naming row and column, for a file that is not whole or of a version that is not read.
    """
    try:
        content = read_regular(path)
        text = content.decode("utf-8-sig")  # editors of Windows put a byte order mark in front
    except UnicodeDecodeError as error:
        form, cure = next(
            (each for start, each in _OTHER_FORMS.items() if content.startswith(start)), _NO_TEXT
        )
        raise RobustcheckError(f"the records {path} can't be read: {form} ({error}); {cure}") from None
    except (OSError, ValueError) as error:
        raise RobustcheckError(f"the records {path} can't be read: {error}") from None
    return loads(text, str(path))


def dumps(records: Records, extra: Mapping[str, Any] | None = None) -> str:
    """Return records as text; equal records give equal text."""
    table = table_of(records)
    columns: list[Iterable[str]] = [_cells(table, name) for name in NAMES]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*NAMES, _RUN])
    for number, row in enumerate(zip(*columns, strict=True)):
        writer.writerow([*row, "" if number else json.dumps(header_of(records, extra))])
    return out.getvalue()


def loads(text: str, where: str = "records") -> tuple[Records, dict[str, Any]]:
    """Return the records and the header of a text made by `dumps`; `where` names it in errors."""
    try:
        names, rows = _rows(text, where)
        header = _header(rows[0][-1], where, names)
        return records_of(_table(names, rows, where), header, where), header
    except NotationError as error:
        raise RobustcheckError(f"{where}: {error}\n{_CURE}") from None
    except RobustcheckError as error:
        raise RobustcheckError(f"{error}; {_CURE}") from None
    except DAMAGED as error:
        raise RobustcheckError(f"{where} is damaged: {error!r:.200}; {_CURE}") from None


def _cells(table: Table, name: str) -> Iterable[str]:
    if name in table.numbers:
        values = table.numbers[name]
        return ("" if value != value else repr(value) for value in values.tolist())  # noqa: PLR0124 - NaN
    column = table.texts[name]
    known = [_escaped(text) for text in column.known] if name in _PREFIXED else column.known
    return (known[code] for code in column.codes.tolist())


def _escaped(text: str) -> str:
    """Return a text behind the prefix: what can't be printed, and what quotes a cell, with escapes."""
    plain = text.replace("\\", "\\\\").replace('"', "\\u0022")
    if not plain.isprintable():
        plain = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in plain)
    return PREFIX + plain


def _read_text(cell: str) -> str:
    if not cell.startswith(PREFIX):
        raise ValueError(f"a text that begins with {PREFIX}")
    body = cell.removeprefix(PREFIX)
    return str(json.loads(f'"{body}"')) if "\\" in body else body


def _read_integer(cell: str) -> int:
    if not cell.removeprefix("-").isdecimal() or not cell.isascii() or len(cell) > 18:
        raise ValueError("an integer")
    return int(cell)


def _read_float(cell: str) -> float:
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("a number")
    return value


def _rows(text: str, where: str) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return the names of the columns, and the lines below the first as cells."""
    if text.startswith("# robustcheck records"):
        raise RobustcheckError(
            f"{where} is of an earlier version of robustcheck, and this one reads versions {READ_VERSIONS}"
        )
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise RobustcheckError(f"{where}: the table can't be read: {error}") from None
    names = tuple(rows[0]) if rows else ()
    if names not in {(*names_of(version), _RUN) for version in READABLE}:
        got = ",".join(names)[:60] or "nothing"
        raise RobustcheckError(
            f"{where} holds no records: line 1 must be {','.join([*NAMES, _RUN])}, got {got!r}"
        )
    if not rows[1:]:
        raise RobustcheckError(f"{where} holds no images: there is no line below the first")
    if not text.endswith("\n"):
        raise RobustcheckError(f"{where} is cut off: its last line has no end")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise RobustcheckError(f"{where}, line {number} must have {len(names)} cells, got {len(row)}")
    return names, rows[1:]


def _header(cell: str, where: str, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        header = json.loads(cell)
    except ValueError as error:
        raise RobustcheckError(f"{where}, line 2: the cell 'run' is damaged: {error}") from None
    if not isinstance(header, dict):
        raise RobustcheckError(f"{where}, line 2: the cell 'run' must be a JSON object, got {cell[:60]!r}")
    check_version(header, where)
    if names[:-1] != names_of(header["format"]):
        raise RobustcheckError(
            f"{where}, line 1 is not that of version {header['format']}, which line 2 names"
        )
    return header


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], where: str) -> Table:
    cells = dict(zip(names, zip(*rows, strict=True), strict=True))
    numbers: dict[str, Column] = {}
    for name in (*INTEGERS, *(column for column in COLUMNS if column in cells)):
        is_integer = name in INTEGERS or TABLE[name].kind == "class"
        read: Callable[[str], Any] = _read_integer if is_integer else _read_float
        values = [_read(read, cell, where, row, name) for row, cell in enumerate(cells[name], 1)]
        numbers[name] = np.array(values, np.int64 if is_integer else np.float64)
    texts = {
        "view": _texts(cells["view"], str, where, "view"),
        **{name: _texts(cells[name], _read_text, where, name) for name in _PREFIXED},
    }
    return Table(numbers, texts)


def _texts(cells: Sequence[str], read: Callable[[str], str], where: str, name: str) -> Texts:
    codes: dict[str, int] = {}
    column = np.array([codes.setdefault(cell, len(codes)) for cell in cells], np.int32)
    first = {cell: row for row, cell in reversed([*enumerate(cells, 1)])}
    return Texts(column, [_read(read, cell, where, first[cell], name) for cell in codes])


def _read(read: Callable[[str], Any], cell: str, where: str, row: int, name: str) -> Any:
    try:
        return read(cell)
    except ValueError as error:
        raise RobustcheckError(
            f"{where}, row {row}: {name!r} must be {error if read is not _read_text else 'a text behind ' + PREFIX}, "
            f"got {cell[:60]!r}"
        ) from None
