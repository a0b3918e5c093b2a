"""Image files whose decoded pixels are looked for in a cache first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from robustcheck.images import contents
from robustcheck.images.decoding import Pixels, decode, printable
from robustcheck.images.shelf import Shelf
from robustcheck.images.source import image_id
from robustcheck.models.preprocessing import Preprocessing

if TYPE_CHECKING:
    from robustcheck.images.pixel_cache import PixelCache


@runtime_checkable
class Encoded(Protocol):
    """Images that have to be decoded."""

    @property
    def rule(self) -> Preprocessing:
        """How they come to the classifier's size."""

    def encoded(self, position: int) -> Path | bytes:
        """The image at a position: its file, or what would be in it. BadImage if there is none."""

    def shown(self, position: int) -> str:
        """What an error calls the image."""


@dataclass(frozen=True)
class Cached:
    """Images out of a cache, or decoded and put into it."""

    images: Encoded
    cache: PixelCache
    shelf: Shelf

    def load(self, position: int) -> tuple[Pixels, str]:
        """The image at a position and its id."""
        encoded = self.images.encoded(position)
        key = self._known_key(encoded)
        found = None if key is None else self.shelf.find(key)
        if found is None:
            try:
                data, key = self._contents(encoded)
            except (OSError, ValueError):  # decoding says what is wrong with the file
                pixels = decode(encoded, self.images.rule, self.images.shown(position))
                return pixels, image_id(pixels)
            found = self.shelf.find(key)
            if found is None:
                return self._decoded(data, key, self.images.shown(position))
        self.cache.count(decoded=False)
        return found

    def id_of(self, position: int) -> str | None:
        """The id, where the cache has it and the file is what it was."""
        key = self._known_key(self.images.encoded(position))
        return None if key is None else self.shelf.id_of(key)

    def _known_key(self, encoded: Path | bytes) -> bytes | None:
        """The key of the contents, where no file has to be read for it."""
        if isinstance(encoded, bytes):
            return contents.key_of(encoded)
        if self.cache.verify:
            return None
        try:
            return self.shelf.key_of(contents.mark_of(encoded))
        except (OSError, ValueError):
            return None

    def _contents(self, encoded: Path | bytes) -> tuple[bytes, bytes]:
        """What is in the file, and the key of that."""
        if isinstance(encoded, bytes):
            return encoded, contents.key_of(encoded)
        read = contents.read(encoded)
        if read.mark is not None and not self.shelf.note(read.mark, read.key):
            self.cache.say(
                f"{printable(str(encoded))} was written to, and neither its size, its inode nor its times show it: files "
                "on this file system are known only with --robustcheck-cache-verify"
            )
        return read.data, read.key

    def _decoded(self, data: bytes, key: bytes, shown: str) -> tuple[Pixels, str]:
        pixels = decode(data, self.images.rule, shown)
        its_id = image_id(pixels)
        self.shelf.add(key, pixels, its_id)
        self.cache.count(decoded=True)
        return pixels, its_id
