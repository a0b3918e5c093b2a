"""Files of torch.save, the archive and the format before it, read without torch's loader."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from typing import IO, Any, BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import torch

from robustcheck.limits import excess
from robustcheck.models.checkpoints.pickle_data import read_pickle
from robustcheck.models.checkpoints.pickle_names import NAMES, storage_of
from robustcheck.models.checkpoints.stored_tensor import BadCheckpoint, Storage

Read = Callable[[Storage], torch.Tensor]
_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of the format before the archive
_PROTOCOL = 1001
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 1
_LONGEST_LINE = 1000


@dataclass(frozen=True)
class TorchFile:
    """What a file of torch.save holds: plain data with stored tensors, and how to read a storage."""

    content: Any
    read: Read


def read_torch_file(file: BinaryIO) -> TorchFile:
    """Read an open file of torch.save; nothing of it is run. BadCheckpoint for any other."""
    size = file.seek(0, 2)
    file.seek(0)
    if file.read(2) == b"PK":
        with archive_errors():
            return _Archive(open_archive(file), file, size).whole()
    file.seek(0)
    return _read_legacy(file, size)


@contextmanager
def archive_errors() -> Iterator[None]:
    """Turn the errors of a bad archive into BadCheckpoint."""
    try:
        yield
    except _TooMuch as error:
        raise BadCheckpoint(str(error)) from None
    except (BadZipFile, OSError, EOFError, ValueError, RuntimeError, zlib.error, struct.error) as error:
        raise BadCheckpoint(f"is truncated or damaged ({str(error)[:80] or type(error).__name__})") from error


def open_archive(file: BinaryIO) -> ZipFile:
    """Open a ZIP archive; BadZipFile for one whose directory, which is read whole, is above the limit or not at its end.

    An archive that was cut off can end in a whole one, which was one of its entries.
    """
    archive = ZipFile(cast("IO[bytes]", _Directory(file)))
    file.seek(-_END_SIZE - len(archive.comment), SEEK_END)
    if file.read(4) != _END:
        raise BadZipFile("its directory is not at its end")
    archive.fp = file
    return archive


_END, _END_SIZE = b"PK\5\6", 22  # the last record of an archive, and its size without a comment


class _TooMuch(BadZipFile):
    """An archive beyond a limit."""


class _Directory:
    """An archive's file, as its directory is read."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._read = file.read

    def read(self, count: int = -1, /) -> bytes:
        """Return so many bytes, or those that are left."""
        if beyond := excess("directory-bytes", count):
            raise _TooMuch(f"has a directory of {beyond}")
        return self._read(count)


def check_entries(archive: ZipFile, size: int) -> None:
    """Raise BadCheckpoint for entries that are encrypted or compressed otherwise than by deflate, or that unpack to
    more than the limit beyond the size of the file, as compressed and overlapping entries can.
    """
    entries = archive.infolist()
    if len({entry.filename for entry in entries}) != len(entries):
        raise BadCheckpoint("holds two entries of one name, so it was tampered with")
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED:
            raise BadCheckpoint("is encrypted: unpack it with its password, and save it again")
        if entry.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
            raise BadCheckpoint(
                f"is compressed by method {entry.compress_type}: save it again with torch.save"
            )
        if entry.compress_type == ZIP_STORED and entry.file_size != entry.compress_size:
            raise BadCheckpoint("gives two sizes for an entry")
    if beyond := excess("unpacked-bytes", sum(entry.file_size for entry in entries) - size):
        raise BadCheckpoint(f"unpacks to more than its size, by {beyond}")


def read_entry(archive: ZipFile, file: BinaryIO, entry: ZipInfo) -> bytearray:
    """Return an entry's bytes, checked against its checksum unless that is 0: torch can be told to write none."""
    if entry.compress_type != ZIP_STORED:
        return bytearray(archive.read(entry))
    file.seek(entry.header_offset)
    signature, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if signature != b"PK\3\4":
        raise BadZipFile("an entry is not where the directory says")
    file.seek(name + extra, 1)
    content = read_exactly(file, entry.file_size)
    if entry.CRC and zlib.crc32(content) != entry.CRC:
        raise BadZipFile("the checksum of an entry is wrong")
    return content


def read_exactly(file: BinaryIO, size: int) -> bytearray:
    """Return the next `size` bytes of a file, of which there must be as many."""
    start = file.tell()
    if size > file.seek(0, 2) - start:
        raise EOFError("it ends too early")
    file.seek(start)
    content = bytearray(size)
    if file.readinto(content) != size:  # type: ignore[attr-defined] # of a buffered file
        raise EOFError("it ends too early")
    return content


class _Archive:
    """The archive of torch.save: a pickle, and an entry for each storage, in one folder."""

    def __init__(self, archive: ZipFile, file: BinaryIO, size: int) -> None:
        check_entries(archive, size)
        self.archive, self.file = archive, file
        self.entries = {entry.filename: entry for entry in archive.infolist()}
        self.folder = self._folder()
        self._read: dict[str, torch.Tensor] = {}

    def whole(self) -> TorchFile:
        """Return its content."""
        order = self.entries.get(f"{self.folder}/byteorder")
        if order is not None and bytes(self._bytes(order)).strip() != b"little":
            raise BadCheckpoint(
                "was written on a machine of another byte order: save it again as safetensors"
            )
        pickle = BytesIO(self._bytes(self.entries[f"{self.folder}/data.pkl"]))
        return TorchFile(read_pickle(pickle, NAMES, self._storage), self._tensor)

    def _folder(self) -> str:
        found = [name.removesuffix("/data.pkl") for name in self.entries if name.endswith("/data.pkl")]
        if len(found) != 1:
            raise BadCheckpoint(
                f"is an archive, but not one of torch.save: it must have one folder with a data.pkl, got {len(found)}"
            )
        return found[0]

    def _storage(self, persistent_id: Any) -> tuple[Storage, Any]:
        storage, dtype = storage_of(persistent_id)
        entry = self.entries.get(f"{self.folder}/data/{storage.key}")
        if isinstance(dtype, torch.dtype) and (entry.file_size if entry else 0) < storage.size:
            raise BadCheckpoint("is truncated or damaged (a storage is too short)")
        return storage, dtype

    def _tensor(self, storage: Storage) -> torch.Tensor:
        if storage.key not in self._read:
            with archive_errors():
                content = self._bytes(self.entries[f"{self.folder}/data/{storage.key}"])
            self._read[storage.key] = torch.frombuffer(content, dtype=torch.uint8)
        return self._read[storage.key]

    def _bytes(self, entry: ZipInfo) -> bytearray:
        return read_entry(self.archive, self.file, entry)


def _read_legacy(file: BinaryIO, size: int) -> TorchFile:
    """Read the format before the archive: five pickles, then the storages in the order of the last pickle."""
    bounded = _BoundedReader(file, size)
    found: dict[str, Storage] = {}

    def storage(persistent_id: Any) -> tuple[Storage, Any]:
        one, dtype = storage_of(persistent_id)
        if found.setdefault(one.key, one).size < one.size:
            raise BadCheckpoint("gives two sizes for a storage")
        return found[one.key], dtype

    if read_pickle(bounded, {}, storage) != _MAGIC or read_pickle(bounded, {}, storage) != _PROTOCOL:
        raise BadCheckpoint("is a pickle, but not one of torch.save")
    system = read_pickle(bounded, {}, storage)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise BadCheckpoint("was written on a machine of another byte order: save it again as safetensors")
    content, keys = (read_pickle(bounded, NAMES, storage) for _ in range(2))
    places = dict(_places(file, size, keys, found))
    return TorchFile(content, _reader(file, places))


def _places(file: BinaryIO, size: int, keys: Any, found: dict[str, Storage]) -> Iterator[tuple[str, int]]:
    if type(keys) is not list or any(type(key) is not str or key not in found for key in keys):
        raise BadCheckpoint("lists storages that it does not hold")
    at = file.tell()
    for key in keys:
        yield key, at + 8
        at += 8 + found[key].size
        if at > size:
            raise BadCheckpoint("is truncated")


def _reader(file: BinaryIO, places: dict[str, int]) -> Read:
    loaded: dict[str, torch.Tensor] = {}

    def read(storage: Storage) -> torch.Tensor:
        if storage.key not in places:
            raise BadCheckpoint("lacks a storage that it refers to")
        if storage.key not in loaded:
            file.seek(places[storage.key])
            loaded[storage.key] = torch.frombuffer(read_exactly(file, storage.size), dtype=torch.uint8)
        return loaded[storage.key]

    return read


class _BoundedReader:
    """A file for pickletools, which asks for as many bytes as a pickle says."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def read(self, count: int, /) -> bytes:
        return self._file.read(min(count, self._size))

    def readline(self) -> bytes:
        return self._file.readline(_LONGEST_LINE)

    def tell(self) -> int:
        return self._file.tell()
