"""Which lines of a stack are a user's: warnings point there, and claims are read there."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import FrameType

from robustcheck.errors import RobustnessWarning

_PACKAGE = Path(__file__).parent
_SUITES = _PACKAGE / "suites"
_ABOVE = {"_pytest", "pluggy", "threading", "asyncio"}
"""Packages that call us, or a user's code: above them there is no line of the user's."""
_BETWEEN = {"concurrent", "contextlib", "functools", "torch"}
"""Packages that stand between us and a user's line."""


def is_ours(path: str) -> bool:
    """Return whether a file is of this package, and not of a suite, which is as a user's test."""
    return Path(path).is_relative_to(_PACKAGE) and not Path(path).is_relative_to(_SUITES)


def caller_of_ours(frame: FrameType | None) -> FrameType | None:
    """Return the first frame that is not this package's, from a frame outwards."""
    while frame is not None and is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def warn(message: str) -> None:
    """Give a `RobustnessWarning` at the user's line that led to it; without one at the line that warns."""
    here = sys._getframe(1)  # noqa: SLF001 - inspect.stack would read the source of every frame
    at = _users_frame(here) or here
    warnings.warn_explicit(
        RobustnessWarning(message),
        None,
        at.f_code.co_filename,
        at.f_lineno,
        module=str(at.f_globals.get("__name__")),
        registry=at.f_globals.setdefault("__warningregistry__", {}),
    )


def _users_frame(frame: FrameType | None) -> FrameType | None:
    """Return the first frame outwards of a user's code, which is also what is called by `python -m`."""
    while frame is not None:
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package in _ABOVE:
            return None
        if not is_ours(frame.f_code.co_filename) and package not in _BETWEEN:
            return frame
        frame = frame.f_back
    return None
