"""What is in a file, by a digest, and how it is known again without reading it."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

KEY_SIZE = 16
"""Bytes of a digest here."""
_SETTLED = 2_000_000_000
"""Nanoseconds after which a file system's clock shows that a file was written to again; FAT's counts by two seconds."""


@dataclass(frozen=True)
class Contents:
    """A file as it was read."""

    data: bytes
    key: bytes
    """Digest of the data."""
    mark: bytes | None
    """What tells, without reading it, that the file is still this; None where nothing can tell."""


def key_of(data: bytes) -> bytes:
    """Digest of what is in a file."""
    return _digest(data)


def mark_of(path: Path) -> bytes:
    """What changes when the file is written to or replaced: its path, size, inode, and times of change.

    As in git's index. The time of the inode's change (ctime) is among them, which no program can set back.
    Raises OSError where the file can't be looked at.
    """
    return _mark(path, path.stat())


def read(path: Path) -> Contents:
    """The file's contents. Raises OSError where it can't be read.

    It gets no mark if it changed while it was read, or so shortly before that a further change might leave the
    same times (what git calls racy).
    """
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        now = time.time_ns()
        data = file.read()
        after = os.fstat(file.fileno())
    mark = _mark(path, before)
    settled = now - max(before.st_mtime_ns, before.st_ctime_ns) > _SETTLED
    same = mark == _mark(path, after) and len(data) == before.st_size
    return Contents(data, key_of(data), mark if settled and same else None)


def _mark(path: Path, status: os.stat_result) -> bytes:
    whole = os.path.abspath(path)  # noqa: PTH100 - a Path for each of a million is slow
    numbers = (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    return _digest(b"\0".join([os.fsencode(whole), *(b"%d" % number for number in numbers)]))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=KEY_SIZE).digest()
