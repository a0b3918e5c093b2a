"""How large files and folders are, as people write it: 500M, 1.5 GB."""

from __future__ import annotations

import re

_UNITS = "KMGT"


def read_size(text: str) -> int:
    """Return how many bytes are meant; raises ValueError that says what is allowed.

    >>> read_size("1.5G"), read_size("200 kB"), read_size("2GiB")
    (1500000000, 200000, 2147483648)
    """
    read = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?) ?([KMGT])(i?)B?", text.strip(), re.IGNORECASE | re.ASCII)
    if read is None:
        raise ValueError("it is a size with its unit, K, M, G or T, such as 500M or 1.5G")
    number, unit, is_binary = read.groups()
    return int(float(number) * (1024 if is_binary else 1000) ** (1 + _UNITS.index(unit.upper())))


def write_size(count: float) -> str:
    """Return a number of bytes as it is read.

    >>> write_size(999), write_size(20_400), write_size(1_234_567)
    ('999 bytes', '20 kB', '1.2 MB')
    """
    if count < 1000:
        return f"{count:.0f} bytes"
    power = next((power for power in (4, 3, 2) if count >= 1000**power), 1)
    return f"{count / 1000**power:.{int(power > 1)}f} {'kMGT'[power - 1]}B"
