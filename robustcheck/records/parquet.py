"""Columns of numbers and texts as Parquet files, with a header as JSON under the key `robustcheck`; needs pyarrow.

Arrow's buffers are written and read as they are: its own conversions from and to numpy and Python import pandas first,
which takes half a second of every run that has a record store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robustcheck.errors import RobustcheckError

PARQUET = ".parquet"
_KEY = b"robustcheck"
_KINDS = {"int32": "<i4", "int64": "<i8", "double": "<f8"}
"""The types that columns have, by Arrow's name and by numpy's."""
Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Texts:
    """A column of texts of which each is stored once: row i has `known[codes[i]]`."""

    codes: Numbers
    """int32 (n,)"""
    known: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Columns as read from a file."""

    numbers: Mapping[str, Numbers]
    """int32, int64 or float64 (n,) each; float64 with NaN where cells are empty."""
    texts: Mapping[str, Texts]
    header: Mapping[str, Any]


def require_pyarrow() -> None:
    """Raise `RobustcheckError` that says what to install, where pyarrow is not."""
    if find_spec("pyarrow") is None:
        raise RobustcheckError(
            "Parquet is written and read by pyarrow, which is not installed: pip install 'pytest-robustcheck[parquet]'"
        )


def to_parquet(
    columns: Mapping[str, Numbers | Texts],
    header: Mapping[str, Any],
    empty: Mapping[str, Numbers] | None = None,
) -> bytes:
    """Return columns as a file; `empty` has, of some columns, where their cells are to be empty: bool (n,)."""
    require_pyarrow()
    import pyarrow as pa
    from pyarrow import parquet

    arrays = {}
    for name, column in columns.items():
        if isinstance(column, Texts):
            arrays[name] = pa.DictionaryArray.from_arrays(_numbers(column.codes), _texts(column.known))
        else:
            arrays[name] = _numbers(column, (empty or {}).get(name))
    table = pa.table(arrays).replace_schema_metadata({_KEY: json.dumps(header)})
    file = BytesIO()
    parquet.write_table(table, file, compression="zstd")
    return file.getvalue()


def from_parquet(source: bytes | Path) -> Table:
    """Return the columns of a file; raises ValueError, naming the reason, where it is none of ours or is damaged."""
    require_pyarrow()
    from pyarrow import ArrowException, BufferReader, parquet

    try:
        # From memory: Arrow reads files in a thread of its own, which can abort a process that ends just then.
        file = BufferReader(source if isinstance(source, bytes) else source.read_bytes())
        table = parquet.ParquetFile(file).read(use_threads=False)  # parquet.read_table imports pandas
        header = json.loads(table.schema.metadata[_KEY])
        arrays = {name: table.column(name).combine_chunks() for name in table.column_names}
        coded = {name for name, array in arrays.items() if hasattr(array, "dictionary")}
        return Table(
            {name: _values(array) for name, array in arrays.items() if name not in coded},
            {
                name: Texts(_values(arrays[name].indices), arrays[name].dictionary.to_pylist())
                for name in coded
            },
            header,
        )
    except (OSError, ArrowException, KeyError, TypeError, ValueError) as error:
        raise ValueError(repr(error)) from None


def _numbers(values: Numbers, empty: Numbers | None = None) -> Any:
    import pyarrow as pa

    filled = None
    if empty is not None and empty.any():
        filled = pa.py_buffer(np.packbits(~empty, bitorder="little"))
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [filled, data])


def _texts(texts: Sequence[str]) -> Any:
    import pyarrow as pa

    encoded = [text.encode("utf-8", "backslashreplace") for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def _values(array: Any) -> Numbers:
    kind = np.dtype(_KINDS[str(array.type)])
    filled, data = array.buffers()
    values = np.frombuffer(data, kind, len(array), array.offset * kind.itemsize)
    if not array.null_count:
        return values
    bits = np.unpackbits(np.frombuffer(filled, np.uint8), bitorder="little")
    return np.where(bits[array.offset : array.offset + len(array)] == 1, values, np.nan)
