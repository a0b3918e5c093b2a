"""Atomic writing of files, under the permissions of the user's umask."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from robustcheck.errors import RobustcheckError


def atomic_write(path: Path, content: str | bytes | Sequence[bytes | memoryview]) -> None:
    """Write a file from its content or the parts of it, under a temporary name first, so that no reader finds half of it.

    Missing folders are created. Permissions follow the umask, or are those of the file that is replaced.
    Raises RobustcheckError, with the reason, if that fails; then nothing is left behind.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    parts = [data] if isinstance(data, bytes) else data
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part")
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
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RobustcheckError(
            f"cannot write {path}: {error.strerror or error}: check the folder's permissions and space, or name another "
            "path"
        ) from None
