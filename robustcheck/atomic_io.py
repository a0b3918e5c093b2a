"""Atomic writing of files, under the permissions of the user's umask."""

from __future__ import annotations

import os
import re
import secrets
import socket
import stat
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from robustcheck.errors import RobustcheckError

ABANDONED_AFTER = 3600.0
"""Seconds after which a file that is being written was left by a process that was killed, wherever it ran."""
_IN_USE = (5, 32)
"""Windows' ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION: what it answers while another process has a file open."""
_PART = re.compile(r"\..*\.([0-9a-f]{8})-([0-9]{1,9})-[0-9a-f]{12}\.part", re.DOTALL)


def atomic_write(path: Path, content: str | bytes | Sequence[bytes | memoryview]) -> None:
    """Write a file from its content or the parts of it, under a temporary name first, so that no reader finds half of it.

    A device or a pipe that is there is written to, not replaced. Missing folders are created. Permissions follow the umask, or are those of the file that is replaced. What killed
    processes left of earlier tries is removed by `remove_abandoned`.
    Raises RobustcheckError, with the reason, if that fails; then nothing is left behind.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    parts = [data] if isinstance(data, bytes) else data
    if _is_special(path):
        _write_special(path, parts)
        return
    part = path.with_name(f".{path.name[:100]}.{_host()}-{os.getpid()}-{secrets.token_hex(6)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            if path.is_file():
                part.chmod(path.stat().st_mode & 0o777)
            _replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from None


def open_without_waiting(path: Path, flags: int) -> BinaryIO:
    """Open a file to write; OSError for a pipe that nobody reads, which would wait for a reader."""
    descriptor = os.open(path, os.O_WRONLY | flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _write_special(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    try:
        with open_without_waiting(path, 0) as file:
            file.writelines(parts)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> RobustcheckError:
    return RobustcheckError(
        f"cannot write {path}: {error.strerror or error}: check the folder's permissions and space, or name another path"
    )


def _replace(part: Path, path: Path) -> None:
    """Put a file in another's place; on Windows, wait a second for a reader or a virus scanner to close that."""
    for pause in (0.01, 0.03, 0.1, 0.3, 0.6):
        try:
            part.replace(path)
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE:
                raise
            time.sleep(pause)
        else:
            return
    part.replace(path)


def remove_abandoned(folder: Path, pattern: str = "*") -> None:
    """Remove the temporary files of `atomic_write` below a folder that killed processes have left.

    `pattern` is of the names of the files that were to be written. A file is abandoned if its process no longer runs on
    this machine, or after an hour.
    """
    with suppress(OSError):
        for part in folder.glob(f".{pattern}.part"):
            with suppress(OSError):
                if _is_abandoned(part):
                    part.unlink()


def _is_abandoned(part: Path) -> bool:
    named = _PART.fullmatch(part.name)
    is_ours = named is not None and named[1] == _host() and os.name == "posix"
    if is_ours and named is not None and not _runs(int(named[2])):
        return True
    return time.time() - part.stat().st_mtime > ABANDONED_AFTER


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _host() -> str:
    """Return 8 hex digits of the machine's name."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"
