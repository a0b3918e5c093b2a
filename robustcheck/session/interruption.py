"""Ctrl-C ends a run at once and says what is kept, and a second Ctrl-C ends it without a traceback."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from robustcheck.robustness import Robustness
    from robustcheck.session.resources import Resources


class Interruption:
    """A plugin of pytest, registered for each run."""

    def __init__(self, *, full_trace: bool) -> None:
        self._full_trace = full_trace

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_keyboard_interrupt(
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> Generator[None, object, object]:
        """Keep of the traceback what pytest shows of it.

        Pytest formats it whole, with the values of all arguments: in a network's forward pass seconds for the sources of
        torch and the numbers of tensors. Without --full-trace it shows the last entry.
        """
        if not self._full_trace:
            shown = excinfo.traceback.filter(excinfo)[-1:]
            excinfo.traceback = shown or excinfo.traceback
            excinfo.value.__cause__ = None  # nor those of the exceptions that it came after
        with _without_interrupts():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """End reports that are interrupted in a line."""
        try:
            return (yield)
        except KeyboardInterrupt:
            raise pytest.exit.Exception(
                "interrupted again: reports are incomplete", pytest.ExitCode.INTERRUPTED
            ) from None


def stopped_at(evaluations: Iterable[Robustness], resources: Resources) -> Iterator[str]:
    """Yield, for each evaluation that was interrupted, how far it had come, and how to continue."""
    for robustness in evaluations:
        done, count = robustness.standing
        if done < count:
            yield f"{robustness.classifier.name}: stopped at {done} of {count} images of {robustness.images.name}"
            if (store := resources.store) is None:
                yield "  nothing is kept, without a record store (--robustcheck-store=DIR)"
            elif not (saved := robustness.saved):
                yield f"  nothing is kept in {store.folder}: the run ended before records were written"
            else:
                what = "kept" if saved == done else f"those of the first {saved} images are kept"
                yield f"  {what} in {store.folder}: run the same command again to continue"


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C in a block that takes milliseconds and must not be left half done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
