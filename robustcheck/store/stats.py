"""How much of an evaluation came from its store, and when that was computed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from robustcheck.system import utc_time


@dataclass(frozen=True)
class CacheStats:
    """How many records were loaded from the store, and of how many."""

    records: int = 0
    """Rows: images times views."""
    of: int = 0
    """How many there are in all."""
    first: str = ""
    last: str = ""
    """When the oldest and the newest of those from the store were computed, in UTC."""

    def __add__(self, other: CacheStats) -> CacheStats:
        first = min(filter(None, (self.first, other.first)), default="")
        return CacheStats(self.records + other.records, self.of + other.of, first, max(self.last, other.last))

    def __or__(self, other: CacheStats) -> CacheStats:
        """Return what two processes loaded of the same records."""
        both = self + other
        return replace(both, records=max(self.records, other.records), of=max(self.of, other.of))

    def __str__(self) -> str:
        first, last = (text[:16].replace("T", " ") for text in (self.first, self.last))
        when = f"{first} UTC" if first == last else f"{first} to {last} UTC"
        return f"{self.records} of {self.of} from the store, computed {when}"


def now() -> str:
    """Return the time in UTC, as in `RecordBlock.computed`."""
    return utc_time(time.time(), "%Y-%m-%dT%H:%M:%S.%fZ")
