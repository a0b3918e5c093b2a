"""Keeping the memory of a network's activations on a CPU from one layer to the next."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_NEVER = 2**31 - 1
_LARGE = 2**30
_USERS_OWN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


@cache
def keep_freed_memory() -> bool:
    """Have the C library keep what is freed, for the rest of the process, and return whether it does.

    glibc gives blocks of more than 32 MiB back to the system as soon as they are freed, and the first touch of each
    page of the next one costs a fault. The activations of a batch of photographs are of that size: a pass
    through a small network spends a quarter to a half of its time so. What is kept is used again by the next layer, so the
    process is not larger than at its peak before.

    Does nothing where the C library is another, and where the environment sets `MALLOC_MMAP_THRESHOLD_`,
    `MALLOC_TRIM_THRESHOLD_` or `GLIBC_TUNABLES`, which go first.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _USERS_OWN):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
