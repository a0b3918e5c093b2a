"""Checks of the fixture's arguments, made before anything is measured."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Sized
from contextlib import suppress
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from operator import index
from typing import Any, TypeVar

from robustcheck.errors import RobustcheckError
from robustcheck.notation import View, parse

Result = TypeVar("Result")


def checked_count(name: str, value: Any, why: str = "", *, least: int = 1) -> int:
    """Return an integer of Python or numpy, which must be at least `least`.

    >>> checked_count("images", 8)
    8
    """
    number = least - 1
    if not isinstance(value, bool) and not _is_batch(value):
        with suppress(TypeError):
            number = index(value)
    if number < least:
        raise RobustcheckError(f"{name} must be an integer >= {least}{why}, got {described(value)}")
    return number


def checked_images(value: Any) -> int | None:
    """Return how many images a call takes; None where that is not said."""
    if value is None:
        return None
    hint = f" (images=len(batch), {len(value)} here)" if _is_batch(value) else ""
    return checked_count("images", value, f", the number of images per call{hint}")


def checked_views(views: Iterable[str | View]) -> tuple[View, ...]:
    """Return parsed views, of which at least one must be given, in a list."""
    if isinstance(views, str | View):
        raise RobustcheckError(f"views must be a list of views, got {views!s} alone: write ['{views}']")
    if not isinstance(views, Iterable):
        raise RobustcheckError(f"views must be a list of views, such as ['x', 'Adv_1'], got {views!r}")
    trees = tuple(map(parse, views))
    if not trees:
        raise RobustcheckError(
            "views must be a list of at least one view, got none: write ['x'] for the clean images"
        )
    return trees


def checked_call(name: str, function: Any) -> Callable[..., Any]:
    """Return a function, which must not have been called yet, and whose call does its work."""
    if not callable(function):
        raise RobustcheckError(
            f"{name} must be a function, got {described(function)}: pass the function itself, "
            "or a lambda that calls it"
        )
    for called in (function, type(function).__call__):
        if iscoroutinefunction(called) or isasyncgenfunction(called) or isgeneratorfunction(called):
            raise _does_nothing_yet(name)
    return function  # type: ignore[no-any-return]


def checked_result(name: str, result: Result) -> Result:
    """Return what a measured function returned, unless that is work which is still to be done."""
    if isinstance(result, Coroutine | AsyncGenerator | Generator):
        if isinstance(result, Coroutine):
            result.close()  # or Python warns that it was never awaited
        raise _does_nothing_yet(name)
    return result


def _does_nothing_yet(name: str) -> RobustcheckError:
    return RobustcheckError(
        f"{name} must do its work when it is called, got a generator or an async function, whose call does nothing yet: "
        "measure lambda: list(f()), or lambda: asyncio.run(f())"
    )


def _is_batch(value: Any) -> bool:
    """Return whether a value has several of something: a list, an array with dimensions."""
    return isinstance(value, Sized) and not isinstance(value, str) and bool(getattr(value, "ndim", True))


def described(value: Any) -> str:
    """Return a value for a message: its shape, if it has one.

    >>> described("8"), described(None), described(lambda: 1)
    ("'8'", 'None', 'a function')
    """
    shape = getattr(value, "shape", None)
    if shape:
        return f"{type(value).__name__} of shape {tuple(shape)}"
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
