"""Times of two functions in interleaved rounds: everything but the function is the same for both."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from robustcheck.benchmark.timer import Timer, calibrate, seconds_per_call, without_tracing

Call = Callable[[], object]

ROUNDS = 25
"""The interval leaves out the seven smallest and the seven largest, which other work on the machine may have made so."""
LONG_ROUNDS, LONG_SECONDS = 9, 1.0
"""How many there are by default where a round takes so many seconds; other work counts less there."""
_ALIKE = 10
"""Two functions of which one takes at most so many times as long as the other are called equally often in a round."""


@dataclass(frozen=True)
class Rounds:
    """Seconds per call of two functions, round by round."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    our_calls: int
    """Calls of ours in each round."""


def time_interleaved(
    ours: Call,
    theirs: Call,
    *,
    rounds: int | None,
    timer: Timer,
    disable_gc: bool = False,
    ours_first: Callable[[], bool] = lambda: bool(secrets.randbits(1)),
) -> Rounds:
    """Time two functions, which were called once to warm up, one after the other in each round.

    Both are called by one loop, which drops what they return at once, and equally often in a round unless one takes
    ten times as long. A coin decides which is first, in each round anew: whatever is better or worse for the second of two
    then favours neither, so that the interval of a function against itself contains 1 as often as it says, however the
    machine's speed changes in between. `ours_first` is that coin. Without a number of `rounds` there are 25, or 9 where a
    round takes a second or more.
    """
    with without_tracing(disable_gc=disable_gc):
        calls, seconds = _calls(ours, theirs, timer)
        if rounds is None:
            rounds = ROUNDS if seconds < LONG_SECONDS else LONG_ROUNDS
        pairs = [_time_pair((ours, theirs), calls, timer, ours_first()) for _ in range(rounds)]
    return Rounds(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs), calls[0])


def _calls(ours: Call, theirs: Call, timer: Timer) -> tuple[tuple[int, int], float]:
    """Return how often each is called in a round, and the seconds that a round takes."""
    (our_calls, our_time), (their_calls, their_time) = (calibrate(call, timer) for call in (ours, theirs))
    most = max(our_calls, their_calls)
    is_alike = max(our_time, their_time) <= _ALIKE * min(our_time, their_time)
    calls = (most, most) if is_alike else (our_calls, their_calls)
    return calls, calls[0] * our_time + calls[1] * their_time


def _time_pair(
    functions: tuple[Call, Call], calls: tuple[int, int], timer: Timer, ours_first: bool
) -> tuple[float, float]:
    seconds = [0.0, 0.0]
    for side in (0, 1) if ours_first else (1, 0):
        seconds[side] = seconds_per_call(functions[side], calls[side], timer)
    return seconds[0], seconds[1]
