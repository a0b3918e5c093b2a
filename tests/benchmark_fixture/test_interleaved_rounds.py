"""Interleaved rounds of a function with itself, on clocks that run as machines do."""

import itertools

import numpy as np
import pytest

from robustcheck.benchmark.interleaved_rounds import time_interleaved
from robustcheck.benchmark.speedup import Speedup

TRIES = 1000


class Machine:
    """A clock; a call of `work` takes what the machine of the moment makes of `seconds`."""

    def __init__(self, slowness):
        self.now, self.slowness = 0.0, slowness

    def clock(self):
        return self.now

    def work(self, seconds=1.0):
        def call():
            self.now += seconds * next(self.slowness)

        return call


def drifting(random):
    """Slower and slower, by 5 % a call."""
    time = 1.0
    while True:
        time *= 1.05
        yield time


def neighbours(random):
    """A slowness that stays for some calls and then changes, by what others do on the machine."""
    level = 1.0
    while True:
        if random.random() < 0.2:
            level = random.choice([1.0, 1.3, 4.0])
        yield level * random.lognormal(0, 0.05)


def warm_second(random):
    """Every other call finds the caches warm."""
    while True:
        yield 1.0
        yield 0.7 * random.lognormal(0, 0.01)


@pytest.mark.parametrize("slowness", [drifting, neighbours, warm_second])
def test_interval_of_a_function_against_itself_contains_1(slowness):
    """Though times follow each other's, and the first of two differs from the second."""
    random, held, ratios = np.random.default_rng(0), 0, []
    for _ in range(TRIES):
        machine = Machine(slowness(random))
        call = machine.work()
        rounds = time_interleaved(
            call, call, rounds=9, timer=machine.clock, ours_first=lambda: random.random() < 0.5
        )
        found = Speedup(rounds.ours, rounds.theirs)
        held += found.ratio_low <= 1 <= found.ratio_high
        ratios.append(np.log(found.ratio))
    assert held >= 0.945 * TRIES  # 96.1 % are expected
    assert abs(np.mean(ratios)) < 0.02


def test_a_real_difference_is_found():
    random = np.random.default_rng(0)
    machine = Machine(warm_second(random))
    rounds = time_interleaved(machine.work(1.0), machine.work(3.0), rounds=15, timer=machine.clock)
    found = Speedup(rounds.ours, rounds.theirs)
    assert 1 < found.ratio_low <= 3 <= found.ratio_high


def test_alike_functions_are_called_equally_often_and_others_as_often_as_they_need():
    machine = Machine(iter(lambda: 1.0, None))
    counts = {"a": 0, "b": 0, "c": 0}

    def counted(name, seconds):
        work = machine.work(seconds)

        def call():
            counts[name] += 1
            work()

        return call

    fast, slower, slow = counted("a", 1e-3), counted("b", 3e-3), counted("c", 1.0)
    assert time_interleaved(fast, slower, rounds=6, timer=machine.clock).our_calls == 5
    before = counts["c"]
    assert time_interleaved(fast, slow, rounds=6, timer=machine.clock).our_calls == 5
    assert counts["c"] - before == 7  # one to see how long it takes


def test_one_interruption_does_not_make_a_short_call_long():
    slowness = iter([1e6])
    machine = Machine(iter(lambda: next(slowness, 1.0), None))
    call = machine.work(1e-7)
    assert time_interleaved(call, call, rounds=6, timer=machine.clock).our_calls >= 50_000


@pytest.mark.parametrize(("seconds", "rounds"), [(1e-6, 25), (0.01, 25), (0.4, 25), (0.6, 9), (30.0, 9)])
def test_there_are_many_rounds_unless_one_takes_long(seconds, rounds):
    machine = Machine(itertools.repeat(1.0))
    timed = time_interleaved(machine.work(seconds), machine.work(seconds), rounds=None, timer=machine.clock)
    assert len(timed.ours) == len(timed.theirs) == rounds


def test_a_gate_holds_beside_neighbours():
    """A function that is 1.25 times as fast passes a gate at 1, though what else runs makes single rounds four times as long."""
    random, failed = np.random.default_rng(0), 0
    for _ in range(200):
        machine = Machine(neighbours(random))
        timed = time_interleaved(machine.work(1e-2), machine.work(1.25e-2), rounds=None, timer=machine.clock)
        failed += Speedup(timed.ours, timed.theirs).ratio_low < 1
    assert failed <= 2
