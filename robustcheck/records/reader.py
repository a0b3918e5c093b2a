"""Tables of the schema back to records, with checks of every cell: files may come from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from robustcheck import limits
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, X, parse
from robustcheck.records.measures import TABLE, Measure
from robustcheck.records.provenance import Provenance
from robustcheck.records.rows import Column, Rows, empty_rows
from robustcheck.records.schema import Header, Table
from robustcheck.records.table import Records


def records_of(table: Table, header: Header, where: str) -> Records:
    """Return the records of a table and its header; `where` names the file in errors.

    Raises `RobustcheckError`, naming row and column, where they are not as the schema says.
    """
    views, count = _views(header, where), _count(header, where)
    found = len(table.numbers["image"])
    if header.get("rows") != found:
        raise RobustcheckError(
            f"{where} is cut off: it must have {header.get('rows')!r:.20} rows, got {found}"
        )
    reader = _Reader(table, where, views, count, header["format"])
    labels, order = reader.of_images("label", -1, count), reader.of_images("drawn", -1, count)
    ids, names = reader.texts_of_images("id", count), reader.texts_of_images("name", count)
    columns = {view: reader.rows(at, count) for at, view in enumerate(views)}
    provenance = Provenance.from_header(header["provenance"])
    return Records(ids, names, labels, columns, provenance, None if (order < 0).all() else order)


def _views(header: Header, where: str) -> list[View]:
    names = header.get("views")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RobustcheckError(f"{where}: the header's 'views' must be a list of texts, got {names!r:.60}")
    views = [parse(name) for name in names]
    if len(set(views)) != len(views):
        raise RobustcheckError(f"{where}: the header names a view twice")
    if X not in views:
        raise RobustcheckError(f"{where}: the header names no clean images, view x")
    return views


def _count(header: Header, where: str) -> int:
    count = header.get("images")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise RobustcheckError(f"{where}: the header's 'images' must be an integer >= 1, got {count!r:.60}")
    limits.check("table-rows", count, f"{where}: the image set has")
    return count


class _Reader:
    """Checks a table's columns, and sorts their rows by image and view."""

    def __init__(self, table: Table, where: str, views: Sequence[View], count: int, version: int) -> None:
        self._table, self._where, self._count_of_views = table, where, len(views)
        self._version, self._clean = version, views.index(X)
        self._is_mean = np.array([any(each.draws for each in view.walk()) for view in views])
        """Whether a view's measures are means over draws."""
        self._image = self._integers("image")
        self._refuse(
            "image", (self._image < 0) | (self._image >= count), f"an image of the {count} of the set"
        )
        codes = table.texts["view"]
        place = {str(view): at for at, view in enumerate(views)}
        self._view = np.array([place.get(name, -1) for name in codes.known], np.int64)[codes.codes]
        if (self._view < 0).any():
            first = int((self._view < 0).argmax())
            raise RobustcheckError(
                f"{where}, row {first + 1}: the view {codes.known[codes.codes[first]]!r:.60} must be one of the "
                f"header's: {', '.join(place):.200}"
            )
        places = self._view * count + self._image
        if len(np.unique(places)) != len(places):
            raise RobustcheckError(f"{where}: an image has two rows of one view")

    def of_images(self, name: str, missing: int, count: int) -> Column:
        """Return an integer column by image: int64 (count,)."""
        values = self._integers(name)
        self._refuse(name, values < -1, "an index, or -1 for none")
        found = np.full(count, missing, np.int64)
        found[self._image] = values
        self._refuse(name, found[self._image] != values, "the same in all rows of an image")
        return found

    def texts_of_images(self, name: str, count: int) -> tuple[str, ...]:
        """Return a column of texts by image; "" for images without rows."""
        column = self._table.texts[name]
        place: dict[str, int] = {}
        same = np.array([place.setdefault(text, len(place)) for text in column.known], np.int64)
        found = np.full(count, -1, np.int64)
        found[self._image] = column.codes
        self._refuse(name, same[found[self._image]] != same[column.codes], "the same in all rows of an image")
        return tuple("" if code < 0 else column.known[code] for code in found.tolist())

    def rows(self, view: int, count: int) -> Rows:
        """Return a view's rows, one per image of the set."""
        own = self._rows_of[view]
        found = empty_rows(count)
        for name, values in self._checked.items():
            found[name][self._image[own]] = values[own]
        return found

    @cached_property
    def _rows_of(self) -> list[Column]:
        """Of each view, its rows of the table."""
        ends = np.cumsum(np.bincount(self._view, minlength=self._count_of_views))
        return np.split(np.argsort(self._view, kind="stable"), ends[:-1])

    @cached_property
    def _checked(self) -> dict[str, Column]:
        return {name: self._measured(measure) for name, measure in TABLE.items()}

    def _measured(self, measure: Measure) -> Column:
        low, high = measure.range
        if measure.kind == "class":
            values = self._integers(measure.column)
            self._refuse(measure.column, (values < low) | (values >= high), "a class index")
            return values
        if measure.since > self._version:
            return np.where(self._view == self._clean, 0.0, np.nan)
        values = np.asarray(self._table.numbers[measure.column], np.float64)
        bad = ~((values >= low) & (values <= high)) | np.isinf(values)
        if measure.is_optional:
            bad &= ~np.isnan(values)
        if measure.needs_labels:
            bad &= ~(np.isnan(values) & (self._integers("label") < 0))
        self._refuse(measure.column, bad, f"a number from {low:g} to {high:g}")
        if measure.binary:
            self._refuse(measure.column, (values % 1 > 0) & ~self._is_mean[self._view], "0 or 1")
        return values

    def _integers(self, name: str) -> Column:
        values = np.asarray(self._table.numbers[name])
        if values.dtype.kind == "f":
            self._refuse(name, values % 1 != 0, "an integer")
        return values.astype(np.int64)

    def _refuse(self, name: str, bad: npt.NDArray[np.bool_], allowed: str) -> None:
        if not bad.any():
            return
        row = int(bad.argmax())
        if name in self._table.texts:
            column = self._table.texts[name]
            got: Any = column.known[column.codes[row]]
        else:
            got = self._table.numbers[name][row].item()
        raise RobustcheckError(f"{self._where}, row {row + 1}: {name!r} must be {allowed}, got {got!r:.60}")
