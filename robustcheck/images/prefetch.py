"""Work done in threads ahead of its consumer, with a bound on how far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from robustcheck.system import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_WORKERS = 32


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], *, ahead: int) -> Generator[Result]:
    """Run `map_ahead` with as many threads as this process may use cores."""
    workers = min(_MOST_WORKERS, usable_cores())
    return map_ahead(function, items, workers=workers, ahead=max(ahead, 2 * workers))


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Generator[Result]:
    """Yield results of `function` in the order of `items`, at most `ahead` of them started and not yet consumed.

    An iterator that is closed early, or whose consumer is interrupted, waits only for calls that have started.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="robustcheck-images")
    remaining = iter(items)
    try:
        begun = deque(pool.submit(function, item) for item in islice(remaining, ahead))
        while begun:
            result = begun.popleft().result()
            begun.extend(pool.submit(function, item) for item in islice(remaining, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
