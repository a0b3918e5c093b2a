"""An archive of torch.export: every entry is accounted for, and a clean archive is written from what was checked.

torch loads that one alone. In an archive as it comes, pickles run Python: behind the tables of weights and constants,
under names that torch reads otherwise than zipfile, in the layout of earlier versions; and so do texts in its JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from io import BytesIO
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import torch

from robustcheck.limits import excess
from robustcheck.models.checkpoints.stored_tensor import BadCheckpoint, Storage, StoredTensor
from robustcheck.models.checkpoints.torch_file import archive_errors, check_entries, open_archive, read_entry
from robustcheck.models.programs.graph import NotData, checked

_GRAPH = "models/model.json"
_PAYLOADS = {
    "data/weights": ("model_weights_config.json", "weight"),
    "data/constants": ("model_constants_config.json", "tensor"),
}
_INPUTS = "data/sample_inputs/model.pt"
_FIXED = {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little"}
_OF_FORMAT = {".data/version": b"6\n"}  # of torch's archives in general
# Facts about the archive, and files that its author added: nothing needs them.
_DROPPED = re.compile(
    r"\.data/(version|serialization_id)|version|\.format_version|\.storage_alignment|extra/[ -~]*", re.ASCII
)
_PAYLOAD = re.compile(r"data/(?:weights/weight|constants/tensor)_\d{1,6}", re.ASCII)
# torch's numbers of its types.
_DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
_STRIDED = 7


def clean_archive(file: BinaryIO) -> BytesIO:
    """Return an archive of the program in an open file, written from what was checked.

    Raises NotData for what can't be checked, BadCheckpoint for an archive that is damaged or goes beyond a limit.
    """
    with archive_errors():
        archive = open_archive(file)
        check_entries(archive, file.seek(0, 2))
        return _Archive(archive, file).clean()


class _Archive:
    """The entries of an archive, without their common folder."""

    def __init__(self, archive: ZipFile, file: BinaryIO) -> None:
        self.archive, self.file = archive, file
        folders = {entry.filename.partition("/")[0] for entry in archive.infolist()}
        if len(folders) != 1:
            raise NotData("entries in more than one folder")
        start = len(folders.pop()) + 1
        self.entries: Mapping[str, ZipInfo] = {entry.filename[start:]: entry for entry in archive.infolist()}
        for name in self.entries:
            _account_for(name)

    def clean(self) -> BytesIO:
        """Return the clean archive."""
        parts: dict[str, bytes | bytearray] = {**_FIXED, **_OF_FORMAT, _INPUTS: b""}
        for name, content in _FIXED.items():
            if name in self.entries and bytes(self.bytes(name)).strip() != content:
                raise NotData(f"another {name} than {content.decode()}")
        graph = self.json(_GRAPH)
        _check_count(graph)
        parts[_GRAPH] = _dumped(checked(graph))
        for folder, (table, _) in _PAYLOADS.items():
            payloads, cleaned = self.payloads(folder, f"{folder}/{table}")
            parts |= {**payloads, f"{folder}/{table}": _dumped(cleaned)}
        return _written(parts)

    def bytes(self, name: str) -> bytearray:
        """Return an entry's content."""
        if name not in self.entries:
            raise NotData(f"no {name}")
        return read_entry(self.archive, self.file, self.entries[name])

    def json(self, name: str) -> Any:
        """Return an entry that is JSON."""
        if name in self.entries and (beyond := excess("graph-bytes", self.entries[name].file_size)):
            raise BadCheckpoint(f"has a graph of {beyond}")
        try:
            return json.loads(self.bytes(name))
        except (ValueError, RecursionError):
            raise NotData(f"a {name} that is not JSON") from None

    def payloads(self, folder: str, table: str) -> tuple[dict[str, bytearray], dict[str, Any]]:
        """Return the tensors that a table lists, as bytes by the name of their entry, and the table."""
        config = self.json(table)
        rows = config.get("config") if isinstance(config, dict) else None
        if not isinstance(rows, dict):
            raise NotData(f"a {table} without a table")
        found: dict[str, bytearray] = {}
        cleaned = {}
        for name, row in rows.items():
            entry = f"{folder}/{row.get('path_name') if isinstance(row, dict) else ''}"
            if not _PAYLOAD.fullmatch(entry):
                raise NotData(f"a constant that is no tensor ({entry[:80]!r})")
            if row.get("use_pickle") is not False:
                raise NotData(f"a pickle ({entry!r})")
            found[entry] = found.get(entry) or self.bytes(entry)
            cleaned[name] = _row(row, len(found[entry]))
        return found, {"config": checked(cleaned)}


def _account_for(name: str) -> None:
    known = {_GRAPH, _INPUTS, *_FIXED, *(f"{folder}/{table}" for folder, (table, _) in _PAYLOADS.items())}
    if name not in known and not _DROPPED.fullmatch(name) and not _PAYLOAD.fullmatch(name):
        raise NotData(f"the entry {name[:80]!r}")


def _check_count(graph: Any) -> None:
    try:
        count = len(graph["graph_module"]["graph"]["nodes"])
    except (KeyError, TypeError):
        raise NotData(f"a {_GRAPH} that is no graph") from None
    if beyond := excess("graph-nodes", count):
        raise BadCheckpoint(f"has a graph of {beyond}")


def _row(row: dict[str, Any], size: int) -> dict[str, Any]:
    """Return a row of a table of tensors, checked against the bytes that its entry has."""
    try:
        meta: Any = row["tensor_meta"]
        shape, stride = (tuple(n["as_int"] for n in meta[key]) for key in ("sizes", "strides"))
        dtype, offset = _DTYPES[meta["dtype"]], meta["storage_offset"]["as_int"]
        ordinary = meta["layout"] == _STRIDED and type(meta["requires_grad"]) is type(row["is_param"]) is bool
    except (KeyError, TypeError):
        raise NotData("a tensor of a kind that weights don't have") from None
    if not ordinary:
        raise NotData("a tensor of a kind that weights don't have")
    StoredTensor(Storage("", size), dtype, shape, stride, offset).check()
    return row


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _written(parts: Mapping[str, bytes | bytearray]) -> BytesIO:
    made = BytesIO()
    with ZipFile(made, "w", ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(f"program/{name}", bytes(content))
    made.seek(0)
    return made
