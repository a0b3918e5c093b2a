"""A folder of record blocks: what was measured once need not be measured again, and nothing measured is lost.

    DIR/CONFIG/study.json                     what the numbers of all blocks below depend on, in words
    DIR/CONFIG/ab/SHARD-COUNT-NAME.parquet    a block: the first COUNT images of the shard SHARD, under some views

CONFIG and SHARD are digests (`robustcheck.evaluation.cache_keys`), NAME is one over the block's images and views. A
block is written atomically, and not again if it is there. So several processes, on one machine or on a shared folder,
can commit to one store at once without a lock, and no block is there twice.

**To compute in other processes or on other machines** there are four calls:

    for shard, views in evaluation.missing(views):    # what the store lacks, shard by shard
        block = evaluation.compute(views, shard)      # anywhere: the same classifier, images, seed and order
        data = block.to_bytes()                       # and RecordBlock.from_bytes(data), to send it
        evaluation.commit(block)                      # by one or by all; idempotent
    evaluation.run(views)                             # then reads all of it, and computes what is still missing

Processes of one machine share the work by locks, a shard each: `robustcheck.executors.locked`.

`compute` changes nothing in the evaluation and needs no store, so one that was made without a store will do on a
worker. A shard is a run of whole batches at a fixed place in the order, and its numbers depend on nothing outside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from robustcheck import user_code
from robustcheck.atomic_io import atomic_write
from robustcheck.errors import RobustcheckError
from robustcheck.records.parquet import PARQUET, require_pyarrow
from robustcheck.regular_file import is_file, read_regular
from robustcheck.store.block import DamagedBlock, RecordBlock

FACTS = "study.json"


@dataclass(frozen=True)
class RecordStore:
    """Record blocks in a folder, which is made when the first is committed; needs pyarrow."""

    folder: Path
    run: str = ""
    """The id of a run, written into each block that its processes commit: by it, and by no clock, they know their own."""
    refresh: bool = False
    """Whether blocks of other runs are ignored, and replaced."""
    warn: Callable[[str], None] = user_code.warn
    """Called with what a user should know, such as a damaged block, in a line."""

    def __post_init__(self) -> None:
        require_pyarrow()

    def absolute(self) -> RecordStore:
        """Return the same store for other processes, by its absolute path."""
        return RecordStore(self.folder.resolve(), self.run, self.refresh)

    def is_own(self, block: RecordBlock) -> bool:
        """Whether a process of this run computed a block: what it has does not count as loaded from the store."""
        return bool(self.run) and block.run == self.run

    def find(self, config_digest: str, shard_key: str) -> list[RecordBlock]:
        """Return the blocks of a shard, those of the most images first; damaged ones are removed, with a warning."""
        found = (self._read(path) for path in self._paths(config_digest, shard_key))
        blocks = [block for block in found if block is not None and (self.is_own(block) or not self.refresh)]
        return sorted(blocks, key=len, reverse=True)

    def commit(self, block: RecordBlock, facts: Mapping[str, str]) -> Path:
        """Write a block, unless it is there, and return its path; `facts` are what its `config_digest` is of.

        Blocks of no more images and views of the same shard are removed. Raises `RobustcheckError` where it can't be
        written.
        """
        about = self.folder / block.config_digest / FACTS
        if not is_file(about):
            atomic_write(about, json.dumps(dict(facts), indent=1) + "\n")
        path = self._folder(block.config_digest, block.shard_key) / _name(block)
        if not is_file(path) or self.refresh:
            atomic_write(path, replace(block, run=self.run).to_bytes())
            for other in [*self._paths(block.config_digest, block.shard_key)]:
                if other != path and _count(other) <= len(block):
                    self._remove_if_covered(other, block)
        return path

    def _remove_if_covered(self, path: Path, by: RecordBlock) -> None:
        old = self._read(path)
        if old is not None and old.columns.keys() <= by.columns.keys() and old.ids == by.ids[: len(old)]:
            with suppress(OSError):
                path.unlink()

    def _read(self, path: Path) -> RecordBlock | None:
        try:
            block = read_block(path)
        except FileNotFoundError:  # another process has put a larger one in its place
            return None
        except OSError as error:
            self.warn(f"the record store can't read {path} and ignores it: {error.strerror or error}")
            return None
        except DamagedBlock as error:
            self.warn(f"{error}: its records are computed again")
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # pruning removes what was not used for longest
        return block

    def _folder(self, config_digest: str, shard_key: str) -> Path:
        return self.folder / config_digest / shard_key[:2]

    def _paths(self, config_digest: str, shard_key: str) -> Iterator[Path]:
        folder = self._folder(config_digest, shard_key)
        with suppress(OSError), os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
            for name in names:
                if name.startswith(f"{shard_key}-") and name.endswith(PARQUET):
                    yield folder / name


def open_store(where: RecordStore | Path | str | None) -> RecordStore | None:
    """Return a store, by itself or by its folder.

    Raises `RobustcheckError` for a folder that can't be one, and where pyarrow is not installed.
    """
    if where is None or isinstance(where, RecordStore):
        return where
    folder = Path(where)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RobustcheckError(
            f"the record store {folder} can't be made: {reason}; name another folder, or none"
        ) from None
    return RecordStore(folder)


def read_block(path: Path) -> RecordBlock:
    """Return the block of a file; raises `DamagedBlock` where it is damaged, of another version, or misnamed."""
    block = RecordBlock.from_bytes(read_regular(path), str(path))
    if path.name != _name(block) or path.parts[-3:-1] != (block.config_digest, block.shard_key[:2]):
        raise DamagedBlock(f"{path} is not the block that its name says")
    return block


def _name(block: RecordBlock) -> str:
    digest = hashlib.blake2b(json.dumps([block.ids, sorted(block.columns)]).encode(), digest_size=8)
    return f"{block.shard_key}-{len(block)}-{digest.hexdigest()}{PARQUET}"


def _count(path: Path) -> int:
    count = path.name.split("-")[1]
    return int(count) if count.isdecimal() else 0
