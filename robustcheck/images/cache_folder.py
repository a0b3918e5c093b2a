"""The folder of a pixel cache on the disk: how much may be in it, and what makes way for what."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from filelock import FileLock, Timeout

from robustcheck.atomic_io import write_whole
from robustcheck.byte_size import write_size
from robustcheck.errors import RobustcheckError, RobustnessWarning
from robustcheck.images.shard import SUFFIX

IN_USE = 600
"""Seconds for which a file is not taken away after it was looked at."""
_ABANDONED = 3600
"""Seconds after which a file that was begun and never finished is of a process that was killed."""
_LOCK_WAIT = 60
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of robustcheck: it may be deleted.\n"


@dataclass(frozen=True)
class _File:
    path: Path
    size: int
    used: float  # when, in seconds of the epoch


class CacheFolder:
    """What all shelves of a cache share. Any number of processes may have the same folder open."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root = root
        self.pixels = root / "pixels"
        self.limit = limit
        self.takes_more = True
        """Whether what is decoded is worth keeping for a file; not once one could not be written."""
        self._said: set[str] = set()
        self._lock = Lock()
        try:
            self.pixels.mkdir(parents=True, exist_ok=True)
            if not (self.pixels / "CACHEDIR.TAG").exists():  # backups leave out a folder with it
                write_whole(self.pixels / "CACHEDIR.TAG", _TAG)
                write_whole(self.pixels / ".gitignore", "*\n")
        except (OSError, RobustcheckError) as error:
            if not root.is_dir():
                reason = error.strerror if isinstance(error, OSError) else error
                raise RobustcheckError(
                    f"the cache folder {root} can't be made: {reason}; name another: --robustcheck-cache-dir=DIR"
                ) from None

    def say(self, message: str) -> None:
        """Warn, of each thing once."""
        with self._lock:
            known = message in self._said
            self._said.add(message)
        if not known:
            warnings.warn(f"pixel cache {self.root}: {message}", RobustnessWarning, stacklevel=2)

    def stop_writing(self, reason: str) -> None:
        """Keep nothing more in this run, and say why."""
        self.takes_more = False
        self.say(f"{reason}. What is not in it is decoded in each run")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from writing at the same time, so that none writes what another just did.

        Where the file system knows no locks, or a process sits on this one, work goes on without: what is
        read is right either way, and there may be some of it twice.
        """
        lock = FileLock(self.pixels / "lock", timeout=_LOCK_WAIT)
        with suppress(OSError, NotImplementedError, Timeout):
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def write(self, path: Path, parts: Sequence[bytes | memoryview]) -> bool:
        """Write a file if room can be made for it; on failure, say so and write no more."""
        size = sum(map(len, parts))
        if not self.make_room(size):
            self.stop_writing(
                f"it is full: its {write_size(self.limit)} are of images that were used in the last {IN_USE // 60} minutes; "
                "--robustcheck-cache-size=SIZE gives it more"
            )
            return False
        try:
            write_whole(path, parts)
        except RobustcheckError as error:
            self.stop_writing(str(error))
            return False
        return True

    def make_room(self, size: int) -> bool:
        """Delete what was not used for longest until `size` bytes fit into the limit; False if they can't.

        What is in use stays, else a set that is larger than the limit would push out its own images just before they
        are wanted again.
        """
        files = sorted(self._files(), key=lambda file: file.used)
        over = sum(file.size for file in files) + size - self.limit
        idle = [file for file in files if file.used < time.time() - IN_USE]
        if over > sum(file.size for file in idle):
            return False
        for file in idle:
            if over <= 0:
                break
            with suppress(OSError):  # on Windows a file that is mapped can't be deleted
                file.path.unlink(missing_ok=True)
                over -= file.size
        return over <= 0

    def _files(self) -> Iterator[_File]:
        """The files of images; those that a killed process left unfinished are deleted on the way."""
        for path in self.pixels.glob("*/*"):
            with suppress(OSError):  # another process deleted it just now
                status = path.stat()
                if path.suffix == SUFFIX:
                    yield _File(path, status.st_size, status.st_mtime)
                elif path.suffix == ".part" and status.st_mtime < time.time() - _ABANDONED:
                    path.unlink()
