# ruff: noqa: T201 - a script, which prints its table
"""Seconds of the paper's study on shared cores, before and after the spin count: `python -m tests.benchmarks.busy_neighbours`.

Each neighbour is a process that keeps one core busy. In each round every combination runs once, in random order: 0, 1 or 2
neighbours; before (`--robustcheck-spin-count=off`) or after (the default); one process or `-n 2`. The table has the median
seconds of each, and ratios to the quiet run of the same kind; "fair" is that ratio if a neighbour takes half of a core. Run it on a machine
that does nothing else; `--toy` only tries the script.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from statistics import median

VARIANTS = {"before": ("--robustcheck-spin-count=off",), "after": ()}
WAYS = {"one process": (), "-n 2": ("-n", "2")}
THREADS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
STUDY = ("--robustcheck-suite=jpeg-study", "--robustcheck-store=off", "-p", "no:cacheprovider", "-q")


@dataclass(frozen=True)
class Case:
    way: str
    neighbours: int
    variant: str


@contextmanager
def busy(count):
    """Keep `count` cores busy."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def seconds(case, extra):
    """Return how long the study takes, from the start of pytest to its end."""
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    command = [sys.executable, "-m", "pytest", *STUDY, *WAYS[case.way], *VARIANTS[case.variant], *extra]
    with busy(case.neighbours):
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        took = time.perf_counter() - start
    if done.returncode > 1:  # a claim may be refuted on few images
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return took


def fair(neighbours, cores):
    """Return how many times as long it takes if each neighbour shares one core with one of the threads, half and half.

    >>> fair(0, 2), round(fair(1, 2), 2), fair(2, 2)
    (1.0, 1.33, 2.0)
    """
    return cores / (cores - min(neighbours, cores) / 2)


def table(times, cores):
    """Yield the lines of the table: of all rounds, median seconds and ratios."""
    yield f"{'':<12} {'neighbours':>10} {'before':>8} {'after':>8} {'after / before':>15} {'/ quiet: before':>16} {'after':>6} {'fair':>5}"
    for way, neighbours in product(WAYS, sorted({case.neighbours for case in times})):
        before, after = (median(times[Case(way, neighbours, variant)]) for variant in VARIANTS)
        pairs = zip(*(times[Case(way, neighbours, variant)] for variant in VARIANTS), strict=True)
        ratio = median(second / first for first, second in pairs)
        quiet = [median(times[Case(way, 0, variant)]) for variant in VARIANTS]
        yield (
            f"{way:<12} {neighbours:>10} {before:>7.1f}s {after:>7.1f}s {ratio:>15.2f} {before / quiet[0]:>16.2f} "
            f"{after / quiet[1]:>6.2f} {fair(neighbours, cores):>5.2f}"
        )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--toy", action="store_true", help="one round on two images, of at most one neighbour"
    )
    options = parser.parse_args(arguments)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    extra = ("--robustcheck-limit=2",) if options.toy else ()
    cases = [Case(*parts) for parts in product(WAYS, range(2 if options.toy else 3), VARIANTS)]
    times = {case: [] for case in cases}
    order = random.Random(options.seed)
    for number in range(1 if options.toy else options.rounds):
        for case in order.sample(cases, len(cases)):
            times[case].append(seconds(case, extra))
            print(
                f"round {number + 1}: {case.way}, {case.neighbours} neighbours, {case.variant}: {times[case][-1]:.1f} s"
            )
    import torch

    print(
        f"\n{cores} cores, torch {torch.__version__}, {torch.__config__.parallel_info().splitlines()[1].strip()}"
    )
    print("\n".join(table(times, cores)))


if __name__ == "__main__":
    main()
