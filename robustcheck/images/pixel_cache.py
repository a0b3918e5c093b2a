"""Decoded images on the disk, so that a second run decodes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from weakref import finalize

from robustcheck.errors import RobustcheckError
from robustcheck.images.cache_folder import CacheFolder
from robustcheck.images.cached import Cached, Encoded
from robustcheck.images.decoder import decoder_of, name_of
from robustcheck.images.shelf import Shelf

DEFAULT_LIMIT = 20 * 10**9


class PixelCache:
    """Images after resize and crop, uint8, in a folder that any number of processes may use at once.

    An image is known by what is in its file, by the rule that brought it to its size, and by the versions of
    all that decodes. A file that was read before is known by its path, size, inode and times of change, as
    git does, and is not read again; `verify` reads each file and goes by its contents alone. Pixels are held
    against their id, which is their checksum, each time that they are read.

    `limit` is in bytes; what was not used for longest makes way. Pixels are gathered in memory, up to 128 MiB,
    and written when there are enough, on `flush`, and when the cache is no more used.

    Raises RobustcheckError where the folder can't be made. What goes wrong later is a RobustnessWarning, and
    images are decoded as if there were no cache.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, limit: int = DEFAULT_LIMIT, verify: bool = False
    ) -> None:
        if limit < 1:
            raise RobustcheckError(f"the limit of a pixel cache is {limit} bytes; give at least 1")
        self.verify = verify
        self.found = 0
        """How many times an image came out of the cache."""
        self.decoded = 0
        """How many times one had to be decoded."""
        self._folder = CacheFolder(Path(folder).expanduser().absolute(), limit)
        self._shelves: dict[str, Shelf] = {}
        self._lock = Lock()
        finalize(self, _flush, self._shelves)

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._folder.root

    def of(self, images: Encoded) -> Cached:
        """The same images, out of the cache where they are in it."""
        made_by = decoder_of(images.rule)
        name = name_of(made_by)
        with self._lock:
            if name not in self._shelves:
                size = images.rule.input_size
                self._shelves[name] = Shelf(self._folder, f"{size[0]}x{size[1]}-{name}", made_by, size)
        return Cached(images, self, self._shelves[name])

    def __repr__(self) -> str:
        return f"<PixelCache {self.folder}: {self.found} images read from it, {self.decoded} decoded>"

    def count(self, *, decoded: bool) -> None:
        """Count an image."""
        with self._lock:
            self.decoded += decoded
            self.found += not decoded

    def say(self, message: str) -> None:
        """Warn, of each thing once."""
        self._folder.say(message)

    def flush(self) -> None:
        """Write what was gathered, and bring the folder below its limit."""
        _flush(self._shelves)
        self._folder.make_room(0)


def _flush(shelves: dict[str, Shelf]) -> None:
    for shelf in tuple(shelves.values()):
        shelf.flush()
