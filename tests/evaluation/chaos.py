"""What a run survives: ended at random moments in every way there is, and gone on with.

    python tests/evaluation/chaos.py 100      # the table, each way 100 times; exit status 1 where anything was lost

A small network is evaluated on 48 images in shards of 8, in processes that are forked from this one so that each
costs no more than its work. Of each run that was ended: are the records, once the next run has ended, to the bit
those of a run that nobody disturbed? How many images that had been computed were computed again? Is every part whole?
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
from torch import nn

from robustcheck import Classifier, ImageSet, jpeg
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.records import COLUMNS
from robustcheck.store.maintenance import blocks_in, damaged
from robustcheck.store.store import RecordStore

IMAGES, BATCH, SHARD = 48, 4, 8
VIEWS = ("x", "Adv_4", "JPG(Adv_4)", "PGD_4[steps=4]", "Noise_4")


class Broken(Exception):
    """What the model raises where it is to."""


breaks_now: list[Callable[[], bool]] = [lambda: False]
"""Whether the network is to break now: no attribute of it, which would be part of what its records are kept under."""


class Net(nn.Module):
    """A small network."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2), nn.ReLU(), nn.Flatten()
        )
        self.head = nn.Linear(16 * 15 * 15, 10)

    def forward(self, images):
        if breaks_now[0]():
            raise Broken
        return self.head(self.layers(images))


def images() -> ImageSet:
    return ImageSet.from_arrays(
        np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 32, 32), dtype=np.uint8)
    )


def run(folder: Path | None, log: Path, breaks: Callable[[], bool] = lambda: False) -> None:
    """Evaluate, telling the log how far it is and what came of it."""
    net = Net().eval()
    breaks_now[0] = breaks
    classifier = Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=32, device="cpu")
    said: list[str] = []
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    evaluation = Evaluation(
        classifier,
        images(),
        RunConfig(batch_size=BATCH, shard_size=SHARD),
        store=None if folder is None else RecordStore(folder, warn=said.append),
        progress=lambda done, _: os.write(out, f"done {done}\n".encode()) and None,
    )
    evaluation.run(VIEWS)
    records = evaluation.records
    digest = hashlib.blake2b(repr(records.ids).encode())
    for view in records.views:
        for name in COLUMNS:
            digest.update(records.columns[view][name].tobytes())
    os.write(out, f"said {len(said)}\nstored {evaluation.stored.records // len(VIEWS)}\n".encode())
    os.write(out, f"records {digest.hexdigest()}\n".encode())


def start(work: Callable[[], None]) -> int:
    """Return the process that does some work, forked from this one."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
    finally:
        os._exit(status)


def told(log: Path, word: str) -> str | None:
    lines = log.read_text().splitlines() if log.exists() else []
    found = [line.split()[1] for line in lines if line.startswith(f"{word} ")]
    return found[-1] if found else None


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass
class Outcome:
    """What became of some runs that were disturbed in one way."""

    times: int = 0
    ended: int = 0
    lost: int = 0
    again: int = 0
    bad: int = 0
    said: int = 0
    """The most lines that a run had to say."""


Disturbance = Callable[[Path, Path, float, random.Random], None]


def by_signal(number: int) -> Disturbance:
    def disturb(folder: Path, log: Path, seconds: float, chance: random.Random) -> None:
        process = start(lambda: run(folder, log))
        time.sleep(chance.uniform(0, seconds))
        os.kill(process, number)
        os.waitpid(process, 0)

    return disturb


def by_an_exception(folder: Path, log: Path, _seconds: float, chance: random.Random) -> None:
    calls = iter(range(chance.randrange(1, 150)))
    os.waitpid(start(lambda: run(folder, log, lambda: next(calls, None) is None)), 0)


def by_a_full_disk(folder: Path, log: Path, _seconds: float, chance: random.Random) -> None:
    """From some moment on no file can be larger than a part is."""
    calls = iter(range(chance.randrange(1, 150)))

    def fill() -> bool:
        if next(calls, None) is None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        return False

    os.waitpid(start(lambda: run(folder, log, fill)), 0)


def by_another_process(folder: Path, log: Path, seconds: float, chance: random.Random) -> None:
    """Two at once on one store, one of which is killed."""
    other = log.with_suffix(".other")
    both = [start(lambda: run(folder, log)), start(lambda: run(folder, other))]
    time.sleep(chance.uniform(0, seconds))
    os.kill(both[0], signal.SIGKILL)
    for process in both:
        os.waitpid(process, 0)


def by_damage(folder: Path, log: Path, _seconds: float, chance: random.Random) -> None:
    os.waitpid(start(lambda: run(folder, log)), 0)
    path = chance.choice(list(blocks_in(folder)))
    data = bytearray(path.read_bytes())
    for _ in range(20):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path.write_bytes(data)


WAYS: dict[str, tuple[Disturbance, int]] = {
    "kill -9": (by_signal(signal.SIGKILL), SHARD),
    "SIGTERM": (by_signal(signal.SIGTERM), 0),
    "Ctrl-C": (by_signal(signal.SIGINT), 0),
    "the model raises": (by_an_exception, 0),
    "the disk is full": (by_a_full_disk, IMAGES),
    "two at once, one killed": (by_another_process, SHARD),
    "a part is damaged": (by_damage, SHARD),
}
"""And how many images that were computed may have to be computed again."""
BY_SIGNAL = ("kill -9", "SIGTERM", "Ctrl-C")


def try_it(disturb: Disturbance, outcome: Outcome, whole: str, seconds: float, chance: random.Random) -> None:
    place = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        folder, first, second = place / "store", place / "first", place / "second"
        disturb(folder, first, seconds, chance)
        os.waitpid(start(lambda: run(folder, second)), 0)
        outcome.times += 1
        outcome.ended += told(first, "records") is None
        outcome.lost += told(second, "records") != whole
        computed, stored = int(told(first, "done") or 0), int(told(second, "stored") or 0)
        outcome.again = max(outcome.again, computed - stored)
        outcome.said = max(outcome.said, int(told(first, "said") or 0), int(told(second, "said") or 0))
        outcome.bad += len(list(damaged(folder)))
    finally:
        shutil.rmtree(place)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("times", type=int, nargs="?", default=100)
    parser.add_argument("--others", type=int, help="how often in every way but kill -9 (default: as often)")
    parser.add_argument("--only", nargs="*", choices=WAYS, default=list(WAYS), help="these ways alone")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pyarrow.set_cpu_count(1)
    jpeg.codec_info()  # looks at the codec once
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        for number in range(2):  # the first finds nothing warm
            began, log = time.monotonic(), Path(place) / f"whole-{number}"
            os.waitpid(start(lambda log=log: run(log.with_suffix(".store"), log)), 0)
        seconds, whole = time.monotonic() - began, told(log, "records")
    if whole is None:
        sys.exit("the run that nobody disturbed did not end")
    say(
        f"a run that nobody disturbs: {seconds:.2f} s, {IMAGES} images, {len(VIEWS)} views, shards of {SHARD}"
    )
    say(
        f"{'what was done to it':<26}{'times':>6}{'ended by it':>13}{'lost':>6}{'most done again':>17}{'bad parts':>11}"
    )
    failed = False
    for name in options.only:
        disturb, allowed = WAYS[name]
        outcome = Outcome()
        others = options.times if options.others is None else options.others
        wanted = options.times if name == "kill -9" else others
        counted = "ended" if name in BY_SIGNAL else "times"  # a run may be through before its moment has come
        while getattr(outcome, counted) < wanted and outcome.times < 10 * wanted:
            try_it(disturb, outcome, whole, seconds, chance)
        say(
            f"{name:<26}{outcome.times:>6}{outcome.ended:>13}{outcome.lost:>6}{outcome.again:>10} images"
            f"{outcome.bad:>11}"
        )
        failed |= bool(outcome.lost or outcome.bad or outcome.again > allowed or outcome.said > 1)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
