"""Columns of numbers and texts as Parquet files, with a header as JSON under the key `robustcheck`; needs pyarrow.

Arrow's buffers are written and read as they are: its own conversions from and to numpy and Python import pandas first,
which takes half a second of every run that has a record store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robustcheck.errors import RobustcheckError
from robustcheck.records.schema import Table, Texts
from robustcheck.regular_file import read_regular

PARQUET = ".parquet"
_KEY = b"robustcheck"
_KINDS = {"int32": "<i4", "int64": "<i8", "double": "<f8"}
"""The types that columns have, by Arrow's name and by numpy's."""
Numbers = npt.NDArray[Any]
DAMAGED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a file raises that is not what it says: its header is JSON of any kind and depth."""


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


def from_parquet(source: bytes | Path) -> tuple[Table, dict[str, Any]]:
    """Return the columns of a file and its header; raises ValueError, naming the reason, where it is none of ours or is damaged."""
    require_pyarrow()
    from pyarrow import ArrowException, BufferReader, parquet

    try:
        # From memory: Arrow reads files in a thread of its own, which can abort a process that ends just then.
        file = BufferReader(source if isinstance(source, bytes) else read_regular(source))
        table = parquet.ParquetFile(file).read(use_threads=False)  # parquet.read_table imports pandas
        header = json.loads(table.schema.metadata[_KEY])
        arrays = {name: table.column(name).combine_chunks() for name in table.column_names}
        coded = {name for name, array in arrays.items() if hasattr(array, "dictionary")}
        numbers = {name: _values(array) for name, array in arrays.items() if name not in coded}
        texts = {
            name: Texts(_values(arrays[name].indices), _known(arrays[name].dictionary)) for name in coded
        }
        return Table(numbers, texts), header
    except (OSError, ArrowException, *DAMAGED) as error:
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


def _known(array: Any) -> list[str]:
    texts: list[str] = array.to_pylist()
    if not all(isinstance(text, str) for text in texts):  # bytes or nothing, of a damaged schema
        raise ValueError(f"a column of texts is one of {array.type}")
    return texts


def _values(array: Any) -> Numbers:
    kind = np.dtype(_KINDS[str(array.type)])
    filled, data = array.buffers()
    values = np.frombuffer(data, kind, len(array), array.offset * kind.itemsize)
    if not array.null_count:
        return values
    bits = np.unpackbits(np.frombuffer(filled, np.uint8), bitorder="little")
    return np.where(bits[array.offset : array.offset + len(array)] == 1, values, np.nan)
