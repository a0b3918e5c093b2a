"""Records as tables for other tools: CSV with a line per image, or Parquet with a row per image and view.

The CSV is that of `robustcheck.records.csv`. The Parquet file's columns are id, name, label, view and those of
`robustcheck.records`, what `Records.to_pandas` gives; its metadata has the header under the key `robustcheck`.
Either is written whole or not at all, and can be read again by `read`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robustcheck.atomic_io import atomic_write
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, X, parse
from robustcheck.records.csv import load, save
from robustcheck.records.measures import COLUMNS
from robustcheck.records.parquet import PARQUET, Table, Texts, from_parquet, to_parquet
from robustcheck.records.provenance import Provenance
from robustcheck.records.table import Column, Records, Rows, empty_rows

_FORMAT = 1


def write(records: Records, path: Path, extra: Mapping[str, Any] | None = None) -> None:
    """Write records as CSV, or as Parquet where the file's name says so; `extra` joins the header."""
    if path.suffix.lower() == PARQUET:
        atomic_write(path, _to_parquet(records, extra or {}))
    else:
        save(records, path, extra)


def read(path: Path) -> tuple[Records, dict[str, Any]]:
    """Return the records of a file that `write` made, or of a baseline, and its header.

    Raises `RobustcheckError` for a file that is not one, or is damaged.
    """
    if path.suffix.lower() != PARQUET:
        return load(path)
    try:
        table = from_parquet(path)
        return _records(table), dict(table.header)
    except (KeyError, TypeError, ValueError) as error:
        raise RobustcheckError(f"the records {path} can't be read: {error}") from None


def _to_parquet(records: Records, extra: Mapping[str, Any]) -> bytes:
    views = list(records.views)
    # The clean images all have a row, also those that an early stop left out: the table is of the whole set.
    seen = [np.arange(len(records)) if view == X else np.flatnonzero(records.seen(view)) for view in views]
    image = np.concatenate(seen).astype(np.int32)
    which = np.repeat(np.arange(len(views), dtype=np.int32), [len(part) for part in seen])
    rows = np.concatenate([records.columns[view][at] for view, at in zip(views, seen, strict=True)])
    columns: dict[str, Column | Texts] = {
        "image": image,
        "id": Texts(image, records.ids),
        "name": Texts(image, records.names),
        "label": records.labels[image],
        "view": Texts(which, [str(view) for view in views]),
        **{name: rows[name] for name in COLUMNS},
    }
    empty = {
        name: rows["prediction"] < 0 if name == "prediction" else np.isnan(rows[name]) for name in COLUMNS
    }
    header = {
        "format": _FORMAT,
        "provenance": records.provenance.header(),
        "views": [str(view) for view in views],
        **extra,
    }
    return to_parquet(columns, header, empty)


def _records(table: Table) -> Records:
    header, numbers, texts = table.header, table.numbers, table.texts
    if header["format"] != _FORMAT:
        raise ValueError(f"it is of format {header['format']}, this one reads {_FORMAT}")
    views = [parse(view) for view in header["views"]]
    image, (codes, known) = numbers["image"], (texts["view"].codes, list(texts["view"].known))
    clean = codes == known.index(str(X))
    count = int(clean.sum())
    if X not in views or sorted(image[clean]) != list(range(count)):
        raise ValueError("the clean images, view x, don't have a row each")
    first = np.empty(count, dtype=np.int64)
    first[image[clean]] = np.flatnonzero(clean)
    found: dict[View, Rows] = {}
    for view in views:
        own = np.flatnonzero(codes == known.index(str(view)))
        found[view] = empty_rows(count)
        for name in COLUMNS:
            missing = -1 if name == "prediction" else np.nan
            found[view][name][image[own]] = np.nan_to_num(numbers[name][own], nan=missing)
    ids, names = (
        tuple(texts[name].known[code] for code in texts[name].codes[first]) for name in ("id", "name")
    )
    labels = numbers["label"][first].astype(np.int64)
    return Records(ids, names, labels, found, Provenance.from_header(header["provenance"]))
