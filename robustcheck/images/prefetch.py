"""Work done ahead of its consumer, by threads, with a bound on how far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Iterator[Result]:
    """Results of `function` in the order of `items`, at most `ahead` of them begun and not yet taken.

    An iterator that is closed early, or whose consumer is interrupted, waits only for calls that have begun.
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
