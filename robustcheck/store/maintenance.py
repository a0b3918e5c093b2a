"""Maintenance of a record store: what is in it, whether it is whole, and its size."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustcheck.atomic_io import remove_abandoned
from robustcheck.errors import RobustcheckError
from robustcheck.records.parquet import PARQUET
from robustcheck.regular_file import read_regular
from robustcheck.store.block import FORMAT, DamagedBlock
from robustcheck.store.store import FACTS, read_block
from robustcheck.text import printable

_MOST_FACTS = 1_000_000


@dataclass(frozen=True)
class StoredConfig:
    """One configuration in a store: a classifier under some options, on any images."""

    digest: str
    facts: dict[str, str]
    """What its numbers depend on; empty where that file is damaged."""
    blocks: int
    size: int
    """In bytes."""
    used: float
    """When one of its blocks was last written or read: seconds since 1970."""

    @property
    def version(self) -> str:
        """The version of its records, which are only read where it is this one's."""
        return self.facts.get("records", "unknown")

    @property
    def can_be_read(self) -> bool:
        """Whether its records are of the version that this robustcheck reads."""
        return self.version == str(FORMAT)


def stored_configs(folder: Path) -> list[StoredConfig]:
    """Return the configurations in a store, the one that was used last first."""
    found = [_stored_config(path) for path in _folders(folder)]
    return sorted((config for config in found if config.blocks), key=lambda config: config.used, reverse=True)


def damaged(folder: Path) -> Iterator[tuple[Path, str]]:
    """Read every block of a store, and yield the files that can't be used, with the reason."""
    for path in blocks_in(folder):
        try:
            read_block(path)
        except (DamagedBlock, OSError) as error:
            yield path, str(error)


def prune(folder: Path, limit: int) -> tuple[int, int]:
    """Remove the blocks that were not used for longest, until the others have at most `limit` bytes.

    Returns how many blocks and how many bytes. Files that killed processes left half written are removed, too.
    """
    for config in _folders(folder):
        for inner in (config, *config.glob("??")):
            remove_abandoned(inner)
    stats = {path: stat for path in blocks_in(folder) if (stat := _stat(path))}
    total = sum(stat.st_size for stat in stats.values())
    count = freed = 0
    for path, stat in sorted(stats.items(), key=lambda pair: pair[1].st_mtime):
        if total - freed <= limit:
            break
        with suppress(OSError):
            path.unlink()
            count, freed = count + 1, freed + stat.st_size
    _remove_empty(folder)
    return count, freed


def blocks_in(folder: Path) -> Iterator[Path]:
    """Yield the files of all blocks of a store."""
    for config in _folders(folder):
        yield from sorted(config.glob(f"??/*{PARQUET}"))


def _folders(folder: Path) -> Iterable[Path]:
    """Return the folders of a store's configurations; raises RobustcheckError for a folder that can't be listed."""
    try:
        inside = sorted(folder.iterdir())  # unlike glob, which passes over what it may not read
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RobustcheckError(
            f"the record store {printable(str(folder))} can't be read ({error.strerror}): name one of your own, "
            "as in --robustcheck-store=PATH"
        ) from None
    return [path for path in inside if os.path.exists(path / FACTS)]  # noqa: PTH110 - False where it may not look


def _stored_config(path: Path) -> StoredConfig:
    facts: dict[str, str] = {}
    with suppress(OSError, ValueError, AttributeError, RecursionError):  # anything may stand there
        text = read_regular(path / FACTS, _MOST_FACTS).decode()
        facts = {str(name): str(text) for name, text in json.loads(text).items()}
    stats = [stat for block in path.glob(f"??/*{PARQUET}") if (stat := _stat(block))]
    return StoredConfig(
        path.name,
        facts,
        len(stats),
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime for stat in stats), default=0.0),
    )


def _stat(path: Path) -> Any:
    with suppress(OSError):
        return path.stat()
    return None


def _remove_empty(folder: Path) -> None:
    """Remove folders without blocks; one in which another process is just writing stays."""
    for config in _folders(folder):
        for blocks in config.glob("??"):
            with suppress(OSError):
                blocks.rmdir()
        if not any(config.glob("??")):
            with suppress(OSError):
                (config / FACTS).unlink()
                config.rmdir()
