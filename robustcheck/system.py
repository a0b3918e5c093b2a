"""What the system says of itself: the cores that this process may use, and the time."""

from __future__ import annotations

import os
from datetime import UTC, datetime


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def utc_time(seconds: float, style: str = "%Y-%m-%d %H:%M UTC") -> str:
    """Return seconds since 1970 as text.

    >>> utc_time(0), utc_time(1.5, "%H:%M:%S.%f")
    ('1970-01-01 00:00 UTC', '00:00:01.500000')
    """
    return datetime.fromtimestamp(seconds, UTC).strftime(style)
