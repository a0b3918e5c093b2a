"""The checks of what strategies are called with: integers of any library, in their bounds."""

from __future__ import annotations

from operator import index
from typing import Any, TypeVar

from hypothesis import strategies as st

from robustcheck.attacks.arguments import whole_levels
from robustcheck.errors import RobustcheckError

Value = TypeVar("Value")

_MOST_SAMPLES = 2**28


def drawn(draw: st.DrawFn, value: Value | st.SearchStrategy[Value]) -> Value:
    """Return a value that is given as it is, or by a strategy."""
    return draw(value) if isinstance(value, st.SearchStrategy) else value


def integer(name: str, value: Any, low: int) -> int:
    """Return a Python integer for one of any library; raise `RobustcheckError` for what is none or below `low`."""
    whole = _index(value)
    if whole is None or whole < low:
        raise RobustcheckError(f"{name} must be an integer >= {low}, got {value!r}")
    return whole


def levels(epsilon: Any, low: int = 1) -> int:
    """Return a number of pixel levels from `low` to 255; raise `RobustcheckError`, as attacks do, for another."""
    whole = _index(epsilon)
    return 0 if whole == low == 0 else whole_levels(epsilon if whole is None else whole)


def height_and_width(size: Any) -> tuple[int, int]:
    """Return the sides that a size means: one integer for a square, or a pair (height, width)."""
    sides = [size] * 2 if _index(size) is not None else size
    try:
        height, width = [_index(sides[place]) for place in range(len(sides))]  # in order: no set, no iterator
    except (TypeError, ValueError, LookupError):
        height = width = None
    if height is None or width is None or min(height, width) < 1:
        raise RobustcheckError(
            f"size must be an integer >= 1, or a pair (height, width) of such, got {size!r}"
        )
    return height, width


def check_samples(count: int, height: int, width: int) -> None:
    """Raise `RobustcheckError` for a batch that would take more than 256 MiB."""
    if 3 * count * height * width > _MOST_SAMPLES:
        raise RobustcheckError(
            f"size and count must make at most {_MOST_SAMPLES} samples (3 * count * height * width, 256 MiB), got count "
            f"{count} and size {height} x {width}: draw fewer or smaller images"
        )


def _index(value: Any) -> int | None:
    """Return the integer that a value is, or None; a truth value is none."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None
