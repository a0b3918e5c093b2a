"""A file of decoded images: written once, whole, and then only read.

The pixels of all images stand first, one after the other as uint8 (3, H, W); then a row for each image, of the digest of
the file that it was decoded from and its id; then rows of marks of files and the digest of what is in them;
at the end their numbers and a digest of all rows. The pixels need no digest: an image's id is one.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustcheck.images.contents import KEY_SIZE
from robustcheck.images.decoding import Pixels

SUFFIX = ".shard"
Images: TypeAlias = Mapping[bytes, tuple[Pixels, str]]  # by the key of their file's contents: pixels and id
Marks: TypeAlias = Mapping[bytes, bytes]  # mark of a file: key of its contents

_MAGIC = b"robustcheck px 1"
_END = struct.Struct(f"<{len(_MAGIC)}sQQQ{KEY_SIZE}s")  # images, marks, bytes an image, digest of the rows
_IMAGE_ROW = np.dtype([("key", f"V{KEY_SIZE}"), ("id", "V8")])
_MARK_ROW = np.dtype([("mark", f"V{KEY_SIZE}"), ("key", f"V{KEY_SIZE}")])


class DamagedShard(Exception):  # noqa: N818 - what it is
    """The file is not what was written."""


@dataclass(frozen=True, eq=False)
class Shard:
    """An opened file; its pixels are mapped into memory and come from the disk when they are looked at."""

    path: Path
    pixels: NDArray[np.uint8]  # (n, 3, H, W), read-only
    keys: tuple[bytes, ...]
    ids: tuple[str, ...]
    marks: dict[bytes, bytes] = field(repr=False)
    mapped: mmap.mmap = field(repr=False)

    def __len__(self) -> int:
        return len(self.keys)

    def let_go(self) -> None:
        """Count no more as this process's memory; what is looked at again comes from the system's file cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self.mapped.madvise(mmap.MADV_DONTNEED)


def packed(images: Images, marks: Marks) -> list[bytes | memoryview]:
    """The parts of a file of these images and marks, to be written one after the other."""
    image_rows = b"".join(key + bytes.fromhex(each) for key, (_, each) in images.items())
    mark_rows = b"".join(mark + key for mark, key in marks.items())
    size = next((pixels.nbytes for pixels, _ in images.values()), 0)
    counts = (len(images), len(marks), size)
    end = _END.pack(_MAGIC, *counts, _digest(image_rows, mark_rows, *counts))
    return [*(pixels.data.cast("B") for pixels, _ in images.values()), image_rows, mark_rows, end]


def open_shard(path: Path, shape: tuple[int, int, int]) -> Shard:
    """The file at `path`, of images of a shape (3, H, W).

    Raises DamagedShard if it is not whole or its rows are not what was written, and OSError.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < _END.size:
            raise DamagedShard("it is cut off")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    content = memoryview(mapped)
    magic, images, marks, size, digest = _END.unpack(content[-_END.size :])
    rows_at = images * size
    marks_at = rows_at + images * _IMAGE_ROW.itemsize
    end = marks_at + marks * _MARK_ROW.itemsize
    if magic != _MAGIC or end + _END.size != len(content):
        raise DamagedShard("it is cut off or was written over")
    if digest != _digest(content[rows_at:marks_at], content[marks_at:end], images, marks, size):
        raise DamagedShard("its table is not what was written")
    if images and size != np.prod(shape):
        raise DamagedShard(f"it holds images of {size} bytes, not of {np.prod(shape)}")
    image_rows = np.frombuffer(content[rows_at:marks_at], _IMAGE_ROW)
    mark_rows = np.frombuffer(content[marks_at:end], _MARK_ROW)
    return Shard(
        path,
        np.frombuffer(content[:rows_at], np.uint8).reshape(images, *shape),
        tuple(image_rows["key"].tolist()),
        tuple(each.hex() for each in image_rows["id"].tolist()),
        dict(zip(mark_rows["mark"].tolist(), mark_rows["key"].tolist(), strict=True)),
        mapped,
    )


def _digest(image_rows: bytes | memoryview, mark_rows: bytes | memoryview, *counts: int) -> bytes:
    digest = hashlib.blake2b(struct.pack("<QQQ", *counts), digest_size=KEY_SIZE)
    digest.update(image_rows)
    digest.update(mark_rows)
    return digest.digest()
