"""Opening files that others chose: regular files only, and never a wait.

A FIFO, a socket or a device under the name of an image would let a reader wait for ever, or never end.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO (named pipe)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)
# Windows has none but O_BINARY; O_NOCTTY: a terminal does not become this process's.
_LONGEST_NAME, _LONGEST_PATH = 255, 4000
_FLAGS = ("O_BINARY", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC")


class NotRegularFile(OSError):  # noqa: N818 - like IsADirectoryError, whose place it takes
    """What a path leads to is no regular file; `strerror` says what it is."""


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, or a link to one, for reading bytes; this never waits.

    Raises NotRegularFile, an OSError, for a folder, FIFO, socket or device, and OSError as `open` does.
    """
    flags = os.O_RDONLY
    for name in _FLAGS:
        flags |= getattr(os, name, 0)
    _require_regular(os.stat(path), path)  # noqa: PTH116 - opening some devices has effects
    descriptor = os.open(path, flags)
    try:
        _require_regular(os.fstat(descriptor), path)  # it may have been replaced
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """Return the content of a regular file, or its first `most` bytes; raises as `open_regular` does."""
    with open_regular(path) as file:
        return file.read() if most is None else file.read(most)


def read_regular_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """Return the text of a regular file, as `Path.read_text` does; raises as `open_regular` does."""
    return read_regular(path).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def is_too_long(text: str) -> bool:
    """Return whether a text is too long for a path, or one of its parts for a name, on any common file system."""
    return len(text) > _LONGEST_PATH or any(
        len(os.fsencode(part)) > _LONGEST_NAME for part in re.split(r"[/\\]", text)
    )


def is_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a path leads to a regular file; False for one that is too long, or that may not be looked at."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for those


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a path leads to a folder; False for one that is too long, or that may not be looked at."""
    return os.path.isdir(path)  # noqa: PTH112 - as above


def _require_regular(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for test, kind in _KINDS if test(status.st_mode)), "no regular file")
        raise NotRegularFile(errno.EINVAL, f"is {kind}, not a regular file", str(Path(path)))
