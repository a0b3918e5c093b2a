from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck.images.prefetch import map_ahead

_LONG = 300
"""Seconds after which a test gives up; a busy machine takes some."""


@settings(max_examples=25)
@given(count=st.integers(0, 40), workers=st.integers(1, 4), ahead=st.integers(1, 12))
def test_results_come_in_order(count, workers, ahead):
    assert list(map_ahead(lambda x: x * x, range(count), workers=workers, ahead=ahead)) == [
        x * x for x in range(count)
    ]


def test_no_more_is_begun_than_the_bound_allows():
    begun = []
    stream = map_ahead(begun.append, range(100), workers=3, ahead=5)
    for taken in range(1, 40):
        next(stream)
        time.sleep(0.001)
        assert len(begun) <= taken + 5
    stream.close()
    assert len(begun) <= 39 + 5


def test_work_goes_on_while_the_consumer_is_busy():
    begun = [threading.Event() for _ in range(100)]
    stream = map_ahead(threading.Event.set, begun, workers=2, ahead=6)
    next(stream)
    assert begun[5].wait(_LONG)
    stream.close()


def test_closing_early_ends_the_threads_and_what_has_not_begun():
    begun = []

    def slow(item):
        begun.append(item)
        time.sleep(0.02)

    stream = map_ahead(slow, range(5000), workers=2, ahead=4000)
    next(stream)
    stream.close()
    assert len(begun) < 4000
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("robustcheck-images")]


def test_an_error_comes_out_in_its_turn_and_ends_the_threads():
    def fail_at_three(item):
        if item == 3:
            raise ValueError("three")
        return item

    stream = map_ahead(fail_at_three, range(10), workers=2, ahead=4)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(stream)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("robustcheck-images")]


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_ends_a_process_whose_calls_hang():
    code = """
import signal, threading
from robustcheck.images.prefetch import map_ahead
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.alarm(600)  # or it hangs
def hang(item):
    print("hangs", flush=True)
    threading.Event().wait()
list(map_ahead(hang, range(9), workers=2, ahead=4))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1].endswith("KeyboardInterrupt\n")
    assert process.returncode == -signal.SIGINT
