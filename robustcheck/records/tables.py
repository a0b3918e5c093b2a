"""Records as tables for other tools: CSV with a line per image, or Parquet with a row per image and view.

The CSV is that of `robustcheck.records.csv`. The Parquet file's columns are id, name, label, view and those of
`robustcheck.records`, what `Records.to_pandas` gives; its metadata has the header under the key `robustcheck`.
Either is written whole or not at all, and can be read again by `read`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from robustcheck.atomic_io import write_whole
from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, X, parse
from robustcheck.records.csv import load, save
from robustcheck.records.measures import COLUMNS
from robustcheck.records.provenance import Provenance
from robustcheck.records.table import Column, Records, Rows, empty_rows

PARQUET = ".parquet"
_KEY = b"robustcheck"
_FORMAT = 1


def require_pyarrow() -> None:
    """Raise `RobustcheckError` that says what to install, where pyarrow is not."""
    if find_spec("pyarrow") is None:
        raise RobustcheckError(
            "Parquet is written and read by pyarrow, which is not installed: pip install 'pytest-robustcheck[parquet]'"
        )


def write(records: Records, path: Path, extra: Mapping[str, Any] | None = None) -> None:
    """Write records as CSV, or as Parquet where the file's name says so; `extra` joins the header."""
    if path.suffix.lower() != PARQUET:
        save(records, path, extra)
        return
    require_pyarrow()
    from pyarrow import parquet

    table = _table(records, extra or {})
    file = BytesIO()
    parquet.write_table(table, file, compression="zstd")
    write_whole(path, file.getvalue())


def read(path: Path) -> tuple[Records, dict[str, Any]]:
    """Return the records of a file that `write` made, or of a baseline, and its header.

    Raises `RobustcheckError` for a file that is not one, or is damaged.
    """
    if path.suffix.lower() != PARQUET:
        return load(path)
    require_pyarrow()
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path)
        header = json.loads(table.schema.metadata[_KEY])
        return _records(table, header), header
    except (OSError, ArrowException, KeyError, TypeError, ValueError) as error:
        raise RobustcheckError(f"the records {path} can't be read: {error!r}") from None


def _table(records: Records, extra: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    views = list(records.views)
    # The clean images all have a row, also those that an early stop left out: the table is of the whole set.
    seen = [np.arange(len(records)) if view == X else np.flatnonzero(records.seen(view)) for view in views]
    rows = np.concatenate(seen).astype(np.int32)
    which = np.repeat(np.arange(len(views), dtype=np.int32), [len(part) for part in seen])
    pairs = list(zip(views, seen, strict=True))
    own = {name: np.concatenate([records.columns[view][name][at] for view, at in pairs]) for name in COLUMNS}
    predictions = own.pop("prediction").astype(np.int64)
    columns = {
        "image": pa.array(rows),
        "id": _shared(rows, records.ids),
        "name": _shared(rows, map(_encodable, records.names)),
        "label": pa.array(records.labels[rows]),
        "view": _shared(which, map(str, views)),
        "prediction": pa.array(predictions, mask=predictions < 0),
        **{name: pa.array(values, mask=np.isnan(values)) for name, values in own.items()},
    }
    header = {
        "format": _FORMAT,
        "provenance": records.provenance.header(),
        "views": [str(view) for view in views],
        **extra,
    }
    return pa.table(columns).replace_schema_metadata({_KEY: json.dumps(header)})


def _shared(at: Column, texts: Iterable[str]) -> Any:
    """Return a column of texts of which each is stored once."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(at), pa.array(list(texts), pa.string()))


def _encodable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _records(table: Any, header: Mapping[str, Any]) -> Records:
    if header["format"] != _FORMAT:
        raise ValueError(f"it is of format {header['format']}, this one reads {_FORMAT}")
    views = [parse(view) for view in header["views"]]
    image = table.column("image").to_numpy()
    which = table.column("view").combine_chunks()
    known, codes = which.dictionary.to_pylist(), which.indices.to_numpy()
    clean = codes == known.index(str(X))
    count = int(clean.sum())
    if X not in views or sorted(image[clean]) != list(range(count)):
        raise ValueError("the clean images, view x, don't have a row each")
    placed = np.empty(count, dtype=np.int64)
    placed[image[clean]] = np.flatnonzero(clean)
    first = table.take(placed)
    numbers = {name: table.column(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in COLUMNS}
    numbers["prediction"] = np.nan_to_num(numbers["prediction"], nan=-1)
    found: dict[View, Rows] = {}
    for view in views:
        rows = np.flatnonzero(codes == known.index(str(view)))
        found[view] = empty_rows(count)
        for name, values in numbers.items():
            found[view][name][image[rows]] = values[rows]
    ids, names = (tuple(first.column(name).to_pylist()) for name in ("id", "name"))
    labels = first.column("label").to_numpy().astype(np.int64)
    return Records(ids, names, labels, found, Provenance.from_header(header["provenance"]))
