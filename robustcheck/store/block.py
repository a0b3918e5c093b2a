"""A block of records: what was measured of the first images of one shard under some views, as a value and as a Parquet file.

The file has a row per image and view, with the columns of `robustcheck.records`, exact to the bit, so that other
tools can read it. Its metadata holds a header as JSON under the key `robustcheck`. A checksum over all bytes of the
file stands in front of Parquet's footer, where readers of Parquet do not look: damage to any byte is found when the
block is read.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustcheck.errors import RobustcheckError
from robustcheck.records import COLUMNS, Column, Rows, as_rows
from robustcheck.records.parquet import DAMAGED, from_parquet, to_parquet
from robustcheck.records.rows import ROW
from robustcheck.records.schema import Table, Texts

FORMAT = 3
"""The version of the records in a block, and of what they mean. Blocks of other versions are refused.

Version 3 has the column `rising`, and always a checksum.
"""
_CHECKSUM = 16
"""Bytes."""


class DamagedBlock(RobustcheckError):  # noqa: N818 - it names what is damaged
    """A block that can't be used: damaged, or of another version."""


@dataclass(frozen=True)
class RecordBlock:
    """What was measured of the first images of a shard under some views."""

    config_digest: str
    """The digest of all that the numbers depend on, but for images and views; see `robustcheck.evaluation.cache_keys`."""
    shard_key: str
    """The digest of the shard's place in the order, and of its images' names and labels."""
    ids: tuple[str, ...]
    """The images that were measured, in order: the hashes of their pixels."""
    columns: Mapping[str, Rows]
    """By view key: the rows of `robustcheck.records`, one per image of `ids`."""
    computed: str
    """When, in UTC: 2026-11-24T19:30:00Z."""
    warnings: tuple[str, ...] = ()
    """Warnings about the first batch, repeated where its records are loaded."""
    run: str = ""
    """The id of the run that computed it; see `RecordStore`."""
    logits: bytes = b""
    """The logits of the shard's first image, clean and classified by itself, as float32 in little-endian order."""

    def __len__(self) -> int:
        return len(self.ids)

    def to_bytes(self) -> bytes:
        """Return the block as a Parquet file with a checksum; needs pyarrow."""
        views, count = list(self.columns), len(self.ids)
        rows = np.concatenate(list(self.columns.values()))
        columns: dict[str, Column | Texts] = {
            "view": Texts(np.repeat(np.arange(len(views), dtype=np.int32), count), views),
            "id": Texts(np.tile(np.arange(count, dtype=np.int32), len(views)), self.ids),
            **{name: rows[name] for name in COLUMNS},
        }
        file = to_parquet(columns, self.header)
        at = _footer(file)
        return file[:at] + _checksum(file[:at], file[at:]) + file[at:]

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "record block") -> RecordBlock:
        """Return the block of a file made by `to_bytes`.

        Raises `DamagedBlock`, naming it by `name`, where it is damaged or of another version.
        """
        try:
            table, header = from_parquet(data)
            written = header["format"]
            block = _block(table, header) if written == FORMAT else None
        except DAMAGED as error:
            raise DamagedBlock(f"{name} is damaged: {error}") from None
        if block is None:
            raise DamagedBlock(
                f"{name} holds records of version {written}, and this robustcheck reads {FORMAT}"
            )
        at = _footer(data)
        rows, checksum = data[: at - _CHECKSUM], data[at - _CHECKSUM : at]
        if checksum != _checksum(rows, data[at:]):
            raise DamagedBlock(f"{name} is damaged: its checksum is not that of what it holds")
        return block

    @property
    def header(self) -> dict[str, Any]:
        """What the file's metadata holds."""
        return {
            "format": FORMAT,
            "study": self.config_digest,
            "slot": self.shard_key,
            "computed": self.computed,
            "run": self.run,
            "doubts": list(self.warnings),
            "images": len(self.ids),
            "views": list(self.columns),
            "logits": base64.b64encode(self.logits).decode(),
        }


def _footer(file: bytes) -> int:
    """Return where Parquet's footer begins: its length stands in front of the last four bytes."""
    return max(len(file) - 8 - int.from_bytes(file[-8:-4], "little"), 0)


def _checksum(rows: bytes, footer: bytes) -> bytes:
    digest = hashlib.blake2b(rows, digest_size=_CHECKSUM)
    digest.update(footer)
    return digest.digest()


def _block(table: Table, header: Mapping[str, Any]) -> RecordBlock:
    ids = table.texts["id"]
    views, count = header["views"], header["images"]
    columns = {name: table.numbers[name] for name in COLUMNS}
    for name, values in columns.items():
        if values.dtype != ROW[name] or len(values) != len(views) * count:
            raise ValueError(f"the column {name} is not one of {count} images under {len(views)} views")
    rows = as_rows(columns)
    return RecordBlock(
        header["study"],
        header["slot"],
        tuple(ids.known[code] for code in ids.codes[:count]),
        {view: rows[at * count : (at + 1) * count] for at, view in enumerate(views)},
        header["computed"],
        tuple(header["doubts"]),
        header["run"],
        base64.b64decode(header["logits"], validate=True),
    )
