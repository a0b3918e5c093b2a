"""How far an evaluation has come: one line that is rewritten on a terminal, one line a minute in a log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

PATIENCE = 3.0
"""Seconds that pass in silence."""
_EVERY, _EVERY_IN_LOG = 0.5, 60.0


class Progress:
    """Called with how many images are done, and of how many; writes through `write`.

    `detail` describes what is in progress, where the terminal is wide enough for it.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        rewrites: bool,
        clock: Callable[[], float] = time.monotonic,
        detail: Callable[[], str] = str,
    ) -> None:
        self._write, self._rewrites, self._clock = write, rewrites, clock
        self._detail, self._every = detail, _EVERY if rewrites else _EVERY_IN_LOG
        self._started = self._last = clock()
        self._first, self._shown = 0, 0
        self._total = self._done = -1

    def __call__(self, done: int, total: int) -> None:
        """Tell how far it is, if that has taken a while."""
        now = self._clock()
        if total != self._total or done <= self._done:
            self._wipe()
            self._started, self._last, self._total, self._first = now, now - self._every, total, done
        self._done = done
        waited = now - self._started
        if done == total:
            self._wipe()
        elif waited >= PATIENCE and now - self._last >= self._every:
            self._last = now
            rate = (done - self._first) / waited
            left = (total - done) / rate if rate else float("inf")
            self._show(
                f"robustcheck: {done} of {total} images, {rate:.1f} images/s, {_duration(left)} left at most"
            )

    def _show(self, text: str) -> None:
        more = ", ".join(filter(None, (text, self._detail())))
        if not self._rewrites:
            self._write(f"\n{more}\n")
            return
        width = max(shutil.get_terminal_size().columns - 1, 1)
        line = (more if len(more) <= width else text)[:width]
        self._write(f"\r{line:<{self._shown}}")
        self._shown = len(line)

    def _wipe(self) -> None:
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
            self._shown = 0


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
