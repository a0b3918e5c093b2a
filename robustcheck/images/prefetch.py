"""Work done in threads ahead of its consumer, with a bound on how far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import TypeVar

from robustcheck.system import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_WORKERS = 32
_PATIENCE = 3.0
"""Seconds: Ctrl-C ends any wait within 5."""


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], *, ahead: int) -> Generator[Result]:
    """Run `map_ahead` with as many threads as this process may use cores."""
    workers = min(_MOST_WORKERS, usable_cores())
    return map_ahead(function, items, workers=workers, ahead=max(ahead, 2 * workers))


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Generator[Result]:
    """Yield results of `function` in the order of `items`, at most `ahead` of them started and not yet consumed.

    An iterator that is closed early, or whose consumer is interrupted, waits for calls that have started, but no longer
    than 3 seconds: a call that hangs is left behind in its thread, which does not keep the process from ending.
    """
    pool = _DaemonPool(workers)
    remaining = iter(items)
    try:
        begun = deque(pool.submit(function, item) for item in islice(remaining, ahead))
        while begun:
            result = begun.popleft().result()
            begun.extend(pool.submit(function, item) for item in islice(remaining, 1))
            yield result
    finally:
        pool.close(_PATIENCE)


class _DaemonPool:
    """Threads that run calls; unlike those of ThreadPoolExecutor, Python does not wait for them when it ends."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._threads: list[Thread] = []
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_closed = False

    def submit(self, function: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Run a call in one of the threads; its result is that of the future."""
        future: Future[Result] = Future()
        self._calls.put(partial(_fulfil, future, function, item))
        if len(self._threads) < self._workers:
            thread = Thread(target=self._run, name=f"robustcheck-images-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def close(self, seconds: float) -> None:
        """Drop calls that have not started, and wait up to so many seconds for those that have."""
        self._is_closed = True
        for _ in self._threads:
            self._calls.put(None)
        end = monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))

    def _run(self) -> None:
        while (call := self._calls.get()) is not None and not self._is_closed:
            call()


def _fulfil(future: Future[Result], function: Callable[[Item], Result], item: Item) -> None:
    try:
        future.set_result(function(item))
    except BaseException as error:  # noqa: BLE001 - is raised where the result is asked for
        future.set_exception(error)
