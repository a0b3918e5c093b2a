"""A part: what was measured of the first images of one shard under some views, as a value and as a Parquet file.

The file has a row per image and view, with the columns of `robustcheck.records`, exact to the bit, so that other
tools can read it. Its metadata holds a header as JSON under the key `robustcheck`, and in it a digest over all
else: whatever was damaged is found when the part is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from robustcheck.errors import RobustcheckError
from robustcheck.records import COLUMNS, Column, Rows, as_rows
from robustcheck.records.tables import require_pyarrow

FORMAT = 1
"""The version of the records in a part, and of what they mean. One of another version is refused by name."""
_KEY = b"robustcheck"


class BadPart(RobustcheckError):  # noqa: N818 - it says what is bad
    """A part that can't be used: damaged, or of another version."""


@dataclass(frozen=True)
class Part:
    """What was measured of the first images of a shard under some views."""

    study: str
    """The digest of all that the numbers depend on, but for images and views; see `robustcheck.evaluation.cache_keys`."""
    slot: str
    """The digest of the shard's place in the order, and of its images' names and labels."""
    ids: tuple[str, ...]
    """The images that were measured, in order: the hashes of their pixels."""
    columns: Mapping[str, Rows]
    """By view key: the rows of `robustcheck.records`, one per image of `ids`."""
    computed: str
    """When, in UTC: 2026-11-24T19:30:00Z."""
    doubts: tuple[str, ...] = ()
    """The warnings that the first batch gave, for whoever takes its records from the store."""

    def __len__(self) -> int:
        return len(self.ids)

    def to_bytes(self) -> bytes:
        """Return the part as a Parquet file; needs pyarrow."""
        require_pyarrow()
        from pyarrow import parquet

        file = BytesIO()
        parquet.write_table(_table(self), file, compression="zstd")
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "part") -> Part:
        """Return the part of a file made by `to_bytes`.

        Raises `BadPart`, naming it by `name`, where it is damaged or of another version.
        """
        require_pyarrow()
        from pyarrow import ArrowException, parquet

        try:
            table = parquet.ParquetFile(BytesIO(data)).read(use_threads=False)  # read_table imports pandas
            header = json.loads(table.schema.metadata[_KEY])
            written = header["format"]
            if written == FORMAT:
                part = _part(table, header)
        except (OSError, ArrowException, KeyError, TypeError, ValueError) as error:
            raise BadPart(f"{name} is damaged: {error!r}") from None
        if written != FORMAT:
            raise BadPart(f"{name} holds records of version {written}, and this robustcheck reads {FORMAT}")
        if part.header["digest"] != header.get("digest"):
            raise BadPart(f"{name} is damaged: its checksum is not that of what it holds")
        return part

    @property
    def header(self) -> dict[str, Any]:
        """What the file says of itself, with a digest over that and all that it holds."""
        header = {
            "format": FORMAT,
            "study": self.study,
            "slot": self.slot,
            "computed": self.computed,
            "doubts": list(self.doubts),
            "images": len(self.ids),
            "views": list(self.columns),
        }
        digest = hashlib.blake2b(json.dumps([header, self.ids]).encode(), digest_size=16)
        for own in self.columns.values():
            for name in COLUMNS:
                digest.update(np.ascontiguousarray(own[name]).astype(_kind(name)).tobytes())
        return {**header, "digest": digest.hexdigest()}


def _kind(column: str) -> str:
    return "<i8" if column == "prediction" else "<f8"


def _table(part: Part) -> Any:
    import pyarrow as pa

    views, count = list(part.columns), len(part.ids)
    rows = np.tile(np.arange(count, dtype=np.int32), len(views))
    which = np.repeat(np.arange(len(views), dtype=np.int32), count)
    columns = {
        "view": pa.DictionaryArray.from_arrays(_numbers(which), _texts(views)),
        "id": pa.DictionaryArray.from_arrays(_numbers(rows), _texts(part.ids)),
    }
    for name in COLUMNS:
        columns[name] = _numbers(np.concatenate([own[name] for own in part.columns.values()]))
    return pa.table(columns).replace_schema_metadata({_KEY: json.dumps(part.header)})


def _numbers(values: Column) -> Any:
    """Return an Arrow array of numbers; `pyarrow.array` would import pandas first, which takes a second."""
    import pyarrow as pa

    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _values(array: Any, kind: str) -> Column:
    """Return an Arrow array's numbers, without `to_numpy`, which would import pandas as well."""
    import pyarrow as pa

    if array.type != pa.from_numpy_dtype(np.dtype(kind)):
        raise ValueError(f"a column is of type {array.type}")
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * np.dtype(kind).itemsize)


def _texts(texts: Sequence[str]) -> Any:
    import pyarrow as pa

    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def _part(table: Any, header: Mapping[str, Any]) -> Part:
    views, count = header["views"], header["images"]
    if table.num_rows != len(views) * count:
        raise ValueError(f"{table.num_rows} rows where {len(views)} views of {count} images belong")
    if any(table.column(name).null_count for name in table.column_names):
        raise ValueError("cells are empty")
    read = {name: _values(table.column(name).combine_chunks(), _kind(name)) for name in COLUMNS}
    ids = tuple(table.column("id").slice(0, count).to_pylist())
    columns = {
        view: as_rows({name: values[at * count : (at + 1) * count] for name, values in read.items()})
        for at, view in enumerate(views)
    }
    return Part(header["study"], header["slot"], ids, columns, header["computed"], tuple(header["doubts"]))
