"""Files that are there whole or not at all, under the permissions of the user's umask."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from robustcheck.errors import RobustcheckError


def write_whole(path: Path, content: str | bytes | Sequence[bytes | memoryview]) -> None:
    """Write a file, of its whole content or of the parts of it: beside it under another name, then renamed, so that no reader finds half of it.

    Folders on the way are made. Permissions are what the umask says, or those of the file that is replaced.
    Raises RobustcheckError, with the reason, where that can't be done; then nothing is left behind.
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
            f"{path} can't be written: {error.strerror or error}; look at the folder's permissions and space, or name "
            "another place"
        ) from None
