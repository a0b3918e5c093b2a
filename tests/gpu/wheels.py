"""Wheels that were carried to a machine without a network: unpacked, they are on the module search path."""

from __future__ import annotations

import zipfile
from pathlib import Path

from packaging.tags import sys_tags  # comes with pytest
from packaging.utils import InvalidWheelFilename, parse_wheel_filename


def unpack(folder: Path, target: Path) -> tuple[list[str], list[str]]:
    """Unpack the wheels of `folder` that fit this Python into `target`; return which, and which were left out."""
    supported = set(sys_tags())
    taken, left_out = [], []
    for path in sorted(folder.glob("*.whl")):
        try:
            fits = not supported.isdisjoint(parse_wheel_filename(path.name)[3])
            if fits:
                with zipfile.ZipFile(path) as wheel:
                    wheel.extractall(target)
        except (InvalidWheelFilename, zipfile.BadZipFile, OSError) as error:
            left_out.append(f"{path.name} ({error})")
            continue
        (taken if fits else left_out).append(path.name)
    return taken, left_out
