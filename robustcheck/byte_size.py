"""Sizes of files and folders as text: 500M, 1.5 GB."""

from __future__ import annotations

import re

_UNITS = "KMGT"


def parse_size(text: str) -> int:
    """Return a number of bytes; raises ValueError that says what is allowed.

    >>> parse_size("1.5G"), parse_size("200 kB"), parse_size("2GiB")
    (1500000000, 200000, 2147483648)
    """
    read = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?) ?([KMGT])(i?)B?", text.strip(), re.IGNORECASE | re.ASCII)
    if read is None:
        raise ValueError(f"must be a size in K, M, G or T, such as 500M or 1.5G, got {text[:60]!r}")
    number, unit, is_binary = read.groups()
    return int(float(number) * (1024 if is_binary else 1000) ** (1 + _UNITS.index(unit.upper())))


def format_size(count: float) -> str:
    """Return a number of bytes as text.

    >>> format_size(999), format_size(20_400), format_size(1_234_567)
    ('999 bytes', '20 kB', '1.2 MB')
    """
    if count < 1000:
        return f"{count:.0f} bytes"
    power = next((power for power in (4, 3, 2) if count >= 1000**power), 1)
    return f"{count / 1000**power:.{int(power > 1)}f} {'kMGT'[power - 1]}B"
