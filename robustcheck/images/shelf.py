"""The cached images of one rule: in files that any process may read, and those that are still to be written."""

from __future__ import annotations

import json
import math
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, RLock

from robustcheck.atomic_io import write_whole
from robustcheck.errors import RobustcheckError
from robustcheck.images.cache_folder import IN_USE, CacheFolder
from robustcheck.images.decoding import Pixels
from robustcheck.images.shard import SUFFIX, DamagedShard, Shard, open_shard, packed
from robustcheck.images.source import image_id

_SHARD_SIZE = 128 * 2**20
"""Bytes of pixels that are gathered in memory before they become a file."""
_MARK_FILES = 8
"""How many files are kept that hold nothing but marks: a checkout leaves one each time, and few are of use again."""


@dataclass
class _Unwritten:
    images: dict[bytes, tuple[Pixels, str]] = field(default_factory=dict)
    marks: dict[bytes, bytes] = field(default_factory=dict)


class Shelf:
    """Images by the key of their file's contents; keys by the mark of a file. May be used by several threads."""

    def __init__(
        self, folder: CacheFolder, name: str, about: Mapping[str, object], size: tuple[int, int]
    ) -> None:
        self._folder = folder
        self._path = folder.pixels / name
        self._about = about
        self._shape = (3, *size)
        self._shards: dict[str, Shard] = {}
        self._seen: set[str] = set()
        self._changed = -1
        self._images: dict[bytes, tuple[Shard, int]] = {}
        self._marks: dict[bytes, bytes] = {}
        self._new, self._leaving = _Unwritten(), _Unwritten()
        self._touched: dict[str, float] = {}
        self._looked_at = 0
        """Bytes since mapped memory was last let go."""
        self._lock, self._one_writes = RLock(), Lock()
        self._refresh()

    def key_of(self, mark: bytes) -> bytes | None:
        """The key of the contents of the file that has this mark, if it was read before."""
        return self._marked(mark) or (self._marked(mark) if self._refresh() else None)

    def id_of(self, key: bytes) -> str | None:
        """The id of the image that was decoded from these contents."""
        for waiting in (self._new, self._leaving):
            if key in waiting.images:
                return waiting.images[key][1]
        place = self._images.get(key)
        if place is None:
            return None
        shard, row = place
        self._touch(shard)
        return shard.ids[row]

    def find(self, key: bytes) -> tuple[Pixels, str] | None:
        """The image that was decoded from these contents, read-only, and its id, which its pixels do have."""
        found = self._found(key)
        return self._found(key) if found is None and self._refresh() else found

    def note(self, mark: bytes, key: bytes) -> bool:
        """Remember the mark of a file that was read; False if the mark was of other contents before."""
        with self._lock:
            known = self._marked(mark)
            if known != key:
                self._new.marks[mark] = key
            return known in (None, key)

    def add(self, key: bytes, pixels: Pixels, its_id: str) -> None:
        """Keep an image. Once there are enough for a file, one is written."""
        with self._lock:
            if not self._folder.takes_more:
                return
            self._new.images[key] = (pixels, its_id)
            enough = self._enough(len(self._new.images))
        if enough:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered, but for what another process has written meanwhile."""
        with self._one_writes:
            with self._lock:
                self._leaving, self._new = self._new, _Unwritten()
            try:
                if self._folder.takes_more and (self._leaving.images or self._leaving.marks):
                    self._write(self._leaving)
            finally:
                with self._lock:
                    self._leaving = _Unwritten()

    def _write(self, leaving: _Unwritten) -> None:
        with self._folder.alone():
            self._describe()
            self._refresh(always=True)
            images = {key: image for key, image in leaving.images.items() if key not in self._images}
            marks = {mark: key for mark, key in leaving.marks.items() if self._marks.get(mark) != key}
            if images or marks:
                # Names are in the order of time, so that what was learnt last of a file is read last.
                name = f"{time.time_ns():020}-{secrets.token_hex(4)}{SUFFIX}"
                if self._folder.write(self._path / name, packed(images, marks)):
                    self._refresh(always=True)
                    self._drop_old_marks()

    def _enough(self, count: int) -> bool:
        """Whether so many images are worth a file."""
        return count * math.prod(self._shape) >= min(_SHARD_SIZE, self._folder.limit // 8)

    def _describe(self) -> None:
        """Leave a file that tells people of which rule and libraries the folder is."""
        path = self._path / "about.json"
        if not path.exists():
            with suppress(RobustcheckError):  # what can't be written is told of when it matters
                write_whole(path, json.dumps(self._about, indent=2) + "\n")

    def _drop_old_marks(self) -> None:
        old = [name for name, shard in sorted(self._shards.items()) if not len(shard)][:-_MARK_FILES]
        for name in old:
            with suppress(OSError):
                self._shards.pop(name).path.unlink(missing_ok=True)

    def _marked(self, mark: bytes) -> bytes | None:
        return self._new.marks.get(mark) or self._leaving.marks.get(mark) or self._marks.get(mark)

    def _found(self, key: bytes) -> tuple[Pixels, str] | None:
        for waiting in (self._new, self._leaving):
            if key in waiting.images:
                return waiting.images[key]
        place = self._images.get(key)
        if place is None:
            return None
        shard, row = place
        pixels = shard.pixels[row]
        if image_id(pixels) != shard.ids[row]:
            self._throw_away(shard)
            return None
        self._touch(shard)
        self._keep_memory_flat(pixels.nbytes)
        return pixels, shard.ids[row]

    def _keep_memory_flat(self, size: int) -> None:
        with self._lock:
            self._looked_at += size
            if self._looked_at > _SHARD_SIZE:
                self._looked_at = 0
                for shard in self._shards.values():
                    shard.let_go()

    def _refresh(self, *, always: bool = False) -> bool:
        """Take in the files that other processes have written; True if there may be more than before."""
        with self._lock:
            try:
                changed = self._path.stat().st_mtime_ns
                if changed == self._changed and not always:
                    return False
                names = {path.name for path in self._path.iterdir() if path.suffix == SUFFIX}
            except OSError:
                return False
            self._changed = changed
            for name in sorted(names - self._seen):
                self._seen.add(name)
                self._take_in(name)
            return True

    def _take_in(self, name: str) -> None:
        path = self._path / name
        try:
            shard = open_shard(path, self._shape)
        except FileNotFoundError:  # another process made room
            return
        except DamagedShard as damage:
            self._delete(name)
            self._say_damaged(name, str(damage))
            return
        except (OSError, ValueError) as error:
            self._folder.say(f"{path.name} can't be read ({error}); its images are decoded again")
            return
        self._shards[name] = shard
        self._marks.update(shard.marks)
        self._images.update((key, (shard, row)) for row, key in enumerate(shard.keys))

    def _throw_away(self, shard: Shard) -> None:
        """Have no more to do with a file of which an image is damaged; those that are not are written anew."""
        with self._lock:
            if self._shards.pop(shard.path.name, None) is None:
                return  # another thread did
            rows = enumerate(zip(shard.keys, shard.ids, strict=True))
            good = {key: row for row, (key, its_id) in rows if image_id(shard.pixels[row]) == its_id}
            reason = f"{len(shard) - len(good)} of its {len(shard)} images are not what was written"
            deleted = self._delete(shard.path.name)
            stay = () if deleted else good  # in a folder that may not be written to
            self._images = {
                key: place for key, place in self._images.items() if place[0] is not shard or key in stay
            }
            if deleted:
                self._new.marks.update(shard.marks)
                self._new.images.update(
                    (key, (shard.pixels[row].copy(), shard.ids[row])) for key, row in good.items()
                )
        self._say_damaged(shard.path.name, f"{reason}, and are decoded again")

    def _say_damaged(self, name: str, reason: str) -> None:
        self._folder.say(f"{name} is damaged and is used no more: {reason}")

    def _delete(self, name: str) -> bool:
        with suppress(OSError):
            (self._path / name).unlink(missing_ok=True)
            return True
        return False

    def _touch(self, shard: Shard) -> None:
        """Show other processes that the file is in use."""
        now = time.monotonic()
        if now - self._touched.get(shard.path.name, -IN_USE) > IN_USE / 10:
            self._touched[shard.path.name] = now
            with suppress(OSError):
                os.utime(shard.path)
