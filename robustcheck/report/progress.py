"""How far an evaluation has come: one line that is rewritten on a terminal, one line in all in a log."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 3.0
"""Seconds that pass in silence."""
_EVERY = 0.5
_WIDTH = 78


class Progress:
    """Called with how many images are done, and of how many; writes through `write`."""

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        rewrites: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._rewrites, self._clock = write, rewrites, clock
        self._started = self._last = clock()
        self._first, self._shown = 0, False
        self._total = self._done = -1

    def __call__(self, done: int, total: int) -> None:
        """Tell how far it is, if that has taken a while."""
        now = self._clock()
        if total != self._total or done <= self._done:
            self._wipe()
            self._started, self._last, self._total, self._first = now, now - _EVERY, total, done
        self._done = done
        waited = now - self._started
        if done == total:
            self._wipe()
        elif waited >= PATIENCE and now - self._last >= _EVERY:
            self._last = now if self._rewrites else float("inf")
            rate = (done - self._first) / waited
            left = (total - done) / rate if rate else float("inf")
            self._show(
                f"robustcheck: {done} of {total} images, {rate:.1f} images/s, {_duration(left)} left at most"
            )

    def _show(self, text: str) -> None:
        self._write(f"\r{text:<{_WIDTH}}" if self._rewrites else f"\n{text}\n")
        self._shown = self._rewrites

    def _wipe(self) -> None:
        if self._shown:
            self._write("\r" + " " * _WIDTH + "\r")
            self._shown = False


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
