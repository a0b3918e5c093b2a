"""A folder of parts: what was measured once need not be measured again, and what was measured is not lost.

    DIR/STUDY/study.json            what the numbers of all parts below depend on, in words
    DIR/STUDY/ab/SLOT-COUNT-NAME.parquet    a part: COUNT images of the shard SLOT, under some views

STUDY and SLOT are digests (`robustcheck.evaluation.cache_keys`), NAME is one over the part's images and views. A part is
written beside its place and renamed, so that it is there whole or not at all; who finds one there already leaves it.
So several processes, on one machine or on a shared folder, can commit to one store at once without a lock, and the
same part twice is there once.

**For those who compute elsewhere** (other processes, other machines) there are four calls:

    for shard, views in evaluation.missing(views):    # what the store lacks, shard by shard
        part = evaluation.compute(views, shard)       # anywhere: the same classifier, images, seed and order
        data = part.to_bytes()                        # and RecordBlock.from_bytes(data), to send it
        evaluation.commit(part)                       # by one or by all; idempotent
    evaluation.run(views)                             # then reads all of it, and computes what is still missing

Processes of one machine share the work by locks, a shard each: `robustcheck.executors.locked`.

`compute` changes nothing in the evaluation and needs no store, so one that was made without a store will do on a
worker. A shard is a run of whole batches at a fixed place in the order, and its numbers depend on nothing outside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from robustcheck.atomic_io import write_whole
from robustcheck.errors import RobustcheckError, RobustnessWarning
from robustcheck.records.parquet import PARQUET, require_pyarrow
from robustcheck.store.block import DamagedBlock, RecordBlock

FACTS = "study.json"


def _warn(text: str) -> None:
    warnings.warn(text, RobustnessWarning, stacklevel=3)


@dataclass(frozen=True)
class RecordStore:
    """Parts in a folder, which is made when the first is committed; needs pyarrow."""

    folder: Path
    since: str = ""
    """Parts that were computed before it are not taken, and are replaced: a time as in `RecordBlock.computed`."""
    began: str = ""
    """When the run began: what one of its processes has computed since is not said to come from the store."""
    say: Callable[[str], None] = _warn
    """Told, in a line, what a user should know: a part that is damaged."""

    def __post_init__(self) -> None:
        require_pyarrow()

    def absolute(self) -> RecordStore:
        """Return the same store for other processes, by its absolute path."""
        return RecordStore(self.folder.resolve(), since=self.since, began=self.began)

    def find(self, study: str, slot: str) -> list[RecordBlock]:
        """Return the parts of a shard, those of the most images first; one that can't be used is said and taken away."""
        found = (self._read(path) for path in self._paths(study, slot))
        parts = [part for part in found if part is not None and part.computed >= self.since]
        return sorted(parts, key=len, reverse=True)

    def commit(self, part: RecordBlock, facts: Mapping[str, str]) -> Path:
        """Write a part, unless it is there; `facts` are what its study's digest is of. Return its path.

        Parts that it makes superfluous, of the same images and views but fewer, are taken away. Raises
        `RobustcheckError` where it can't be written.
        """
        about = self.folder / part.config_digest / FACTS
        if not about.is_file():
            write_whole(about, json.dumps(dict(facts), indent=1) + "\n")
        path = self._folder(part.config_digest, part.shard_key) / _name(part)
        if not path.is_file() or self.since:
            write_whole(path, part.to_bytes())
            for other in [*self._paths(part.config_digest, part.shard_key)]:
                if other != path and _count(other) <= len(part):
                    self._drop_if_covered(other, part)
        return path

    def _drop_if_covered(self, path: Path, part: RecordBlock) -> None:
        old = self._read(path)
        if old is not None and old.columns.keys() <= part.columns.keys() and old.ids == part.ids[: len(old)]:
            with suppress(OSError):
                path.unlink()

    def _read(self, path: Path) -> RecordBlock | None:
        try:
            part = read_block(path)
        except FileNotFoundError:  # another process has put a larger one in its place
            return None
        except OSError as error:
            self.say(f"the record store passes over {path}: {error.strerror or error}")
            return None
        except DamagedBlock as error:
            self.say(f"{error}: what it held is computed anew")
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # it was used
        return part

    def _folder(self, study: str, slot: str) -> Path:
        return self.folder / study / slot[:2]

    def _paths(self, study: str, slot: str) -> Iterator[Path]:
        with suppress(OSError), os.scandir(self._folder(study, slot)) as entries:
            names = sorted(entry.name for entry in entries)
            yield from (
                self._folder(study, slot) / name
                for name in names
                if name.startswith(f"{slot}-") and name.endswith(PARQUET)
            )


def open_store(where: RecordStore | Path | str | None) -> RecordStore | None:
    """Return a store, by itself or by its folder.

    Raises `RobustcheckError` for a folder that can't be one, and where pyarrow is not installed.
    """
    if where is None or isinstance(where, RecordStore):
        return where
    folder = Path(where)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RobustcheckError(
            f"the record store {folder} can't be made: {error.strerror or error}; name another folder, or none"
        ) from None
    return RecordStore(folder)


def read_block(path: Path) -> RecordBlock:
    """Return the part of a file; raises `DamagedBlock` where it is damaged, of another version, or not what its name says."""
    part = RecordBlock.from_bytes(path.read_bytes(), str(path))
    if path.name != _name(part) or path.parts[-3:-1] != (part.config_digest, part.shard_key[:2]):
        raise DamagedBlock(f"{path} is not the part that its name says")
    return part


def _name(part: RecordBlock) -> str:
    digest = hashlib.blake2b(json.dumps([part.ids, sorted(part.columns)]).encode(), digest_size=8)
    return f"{part.shard_key}-{len(part)}-{digest.hexdigest()}{PARQUET}"


def _count(path: Path) -> int:
    count = path.name.split("-")[1]
    return int(count) if count.isdecimal() else 0
