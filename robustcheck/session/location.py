"""Where a claim stands: the test and, as CI systems link it, the file and line.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from robustcheck.report.run import SourceLocation


def location_of(item: pytest.Item) -> SourceLocation:
    """Return where the claim that is being decided stands: in a file of claims, or at the test's line that is running.

    Of a claim in a test the id is the test's: the claims of one are told apart by numbers.
    """
    from robustcheck.report.run import SourceLocation

    declared = getattr(item, "declared", None)
    line = declared.line if declared is not None else _running_line(item.path)
    if line is None:
        line = (item.reportinfo()[1] or 0) + 1
    return SourceLocation(item.nodeid, item.nodeid, below(item.path, item.config.rootpath), line)


def below(path: Path, root: Path) -> str:
    """Return a path as it is written from a folder above it; of one that is elsewhere, the name alone."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _running_line(path: Path) -> int | None:
    frame = sys._getframe()  # noqa: SLF001 - inspect.stack would read the source of every frame
    while frame is not None:
        if Path(frame.f_code.co_filename) == path:
            return frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None
