"""A function against itself: its ratio is 1, and 1 lies in the 95 % interval as often as it should.

Some 20 minutes on a quiet machine: 1,000 tries of what takes less than a millisecond, else 200.
"""

from functools import partial
from statistics import median

import pytest
import torch

from robustcheck.benchmark.interleaved_rounds import LONG_ROUNDS, time_interleaved
from robustcheck.benchmark.speedup import Speedup
from robustcheck.benchmark.timer import device_seconds
from robustcheck.jpeg import roundtrip

BATCH = torch.randint(256, (32, 3, 224, 224), dtype=torch.uint8)
SMALL = BATCH[:8, :, :64, :64].contiguous()
NET = torch.nn.Conv2d(3, 16, 3, padding=1).requires_grad_(False)


def counted(number):
    return sum(range(number))


WORK = {  # function, tries, share of intervals that must contain 1
    "empty": (lambda: None, 1000, 0.93),
    "1 us": (partial(counted, 50), 1000, 0.93),
    "20 us": (partial(counted, 1500), 1000, 0.93),
    "1 ms": (partial(counted, 70_000), 200, 0.89),
    "convolution": (lambda: NET(BATCH[:16].float()), 200, 0.89),
    "large copy": (BATCH.float, 200, 0.89),
    "JPEG round trip": (partial(roundtrip, SMALL), 200, 0.89),
}


def tried(work):
    work()
    rounds = time_interleaved(work, work, rounds=LONG_ROUNDS, timer=device_seconds)
    return Speedup(rounds.ours, rounds.theirs)


@pytest.mark.parametrize("name", WORK)
def test_against_itself(robustcheck_benchmark, name):
    work, tries, least = WORK[name]
    found = [tried(work) for _ in range(tries)]
    middle = median(each.ratio for each in found)
    share = sum(each.ratio_low <= 1 <= each.ratio_high for each in found) / tries
    robustcheck_benchmark.note(f"{tries} tries: median {middle:.4f}, 1 in {share:.1%} of the intervals")
    robustcheck_benchmark.ratio(work, work)
    assert abs(middle - 1) <= 0.01
    assert share >= least
