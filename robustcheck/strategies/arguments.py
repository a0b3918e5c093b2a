"""The checks of what strategies are called with: integers of any library, in their bounds."""

from __future__ import annotations

from operator import index
from typing import Any, TypeVar

from hypothesis import strategies as st

from robustcheck.errors import RobustcheckError

Value = TypeVar("Value")


def drawn(draw: st.DrawFn, value: Value | st.SearchStrategy[Value]) -> Value:
    """Return a value that is given as it is, or by a strategy."""
    return draw(value) if isinstance(value, st.SearchStrategy) else value


def integer(name: str, value: Any, low: int, high: int | None = None, also: str = "") -> int:
    """Return a Python integer for one of any library; raise `RobustcheckError` for what is none or out of bounds."""
    whole = _index(value)
    if whole is None or whole < low or (high is not None and whole > high):
        allowed = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
        raise RobustcheckError(f"{name} must be {allowed}{also}, got {value!r}")
    return whole


def height_and_width(size: Any) -> tuple[int, int]:
    """Return the sides that a size means: one integer for a square, or a pair (height, width)."""
    sides = [size] * 2 if _index(size) is not None else size
    try:
        height, width = [_index(side) for side in sides]
    except (TypeError, ValueError):
        height = width = None
    if height is None or width is None or min(height, width) < 1:
        raise RobustcheckError(
            f"size must be an integer >= 1, or a pair (height, width) of such, got {size!r}"
        )
    return height, width


def _index(value: Any) -> int | None:
    """Return the integer that a value is, or None; a truth value is none."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None
