"""What the system has: the cores that this process may use, the time, and libraries that need not be installed."""

from __future__ import annotations

import os
import warnings
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from robustcheck.errors import RobustcheckError


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


def import_library(name: str, advice: str) -> Any:
    """Import a library, without the warnings of its own imports; RobustcheckError with `advice` if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise RobustcheckError(advice) from None
