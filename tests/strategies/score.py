"""In how many seeds a strategy of 100 examples, Hypothesis' default, draws one that shows a mutant.

`python -m tests.strategies.score [SEEDS]` prints the scores beside those of `hypothesis.extra.numpy.arrays`, and examples
a second; with 0 seeds only these. `tests/strategies/test_mutants.py` holds the scores of 20 seeds.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustcheck.strategies import images, perturbations, views
from tests.strategies import mutants, perturbation_mutants, view_mutants

GENERATED = settings(
    max_examples=100,
    database=None,
    deadline=None,
    derandomize=False,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
SIZES = {"square": (1, 3, 16, 16), "odd": (1, 3, 15, 15), "batch": (2, 3, 8, 8)}
GREY = torch.full((1, 3, 6, 6), 100, dtype=torch.uint8)
EVERY = torch.arange(108).view(1, 3, 6, 6).mul(255).div(107).round().to(torch.uint8)  # black to white
CLEAN = {"grey": GREY, "saturated": EVERY, "batch": torch.cat([GREY, EVERY])}
EPSILON = perturbation_mutants.EPSILON


def ours():
    """Mutants, and the strategies of their arguments by what they are drawn from."""
    yield (
        mutants.MUTANTS,
        {name: st.tuples(images(size=shape[2:], count=shape[0])) for name, shape in SIZES.items()},
    )
    yield (
        perturbation_mutants.MUTANTS,
        {
            name: perturbations(clean, EPSILON).map(lambda changed, clean=clean: (clean, changed))
            for name, clean in CLEAN.items()
        },
    )
    yield view_mutants.MUTANTS, {"square": st.tuples(views())}


def plain():
    """The same by plain arrays; there is none for views."""
    bytes_of = {name: arrays(np.uint8, shape).map(torch.from_numpy) for name, shape in SIZES.items()}
    yield mutants.MUTANTS, {name: st.tuples(strategy) for name, strategy in bytes_of.items()}
    yield (
        perturbation_mutants.MUTANTS,
        {
            name: arrays(np.int16, clean.shape, elements=st.integers(-EPSILON, EPSILON)).map(
                lambda change, clean=clean: (
                    clean,
                    (clean + torch.from_numpy(change)).clamp(0, 255).to(torch.uint8),
                )
            )
            for name, clean in CLEAN.items()
        },
    )


def finds(mutants_left, strategy, number):
    """The names of the mutants that one run shows."""
    left, found = list(mutants_left), set()

    @seed(number)
    @GENERATED
    @given(strategy)
    def look(arguments):
        shown = [mutant for mutant in left if mutant.is_found(*arguments)]
        left[:] = [mutant for mutant in left if mutant not in shown]
        found.update(mutant.name for mutant in shown)

    look()
    return found


def scores(groups, seeds):
    found = Counter()
    for all_mutants, strategies in groups:
        found.update({mutant.name: 0 for mutant in all_mutants})
        for drawn, strategy in strategies.items():
            tried = [mutant for mutant in all_mutants if mutant.drawn == drawn]
            for number in range(seeds):
                found.update(finds(tried, strategy, number))
    return found


def rate(strategy, examples=200, rounds=3):
    """Examples a second of processor time, of the fastest round."""

    @settings(GENERATED, max_examples=examples)
    @given(strategy)
    def draw(_):
        drawn[0] += 1

    rates = []
    for _ in range(rounds):
        drawn, start = [0], time.process_time()
        draw()
        rates.append(drawn[0] / (time.process_time() - start))
    return max(rates)


def rates():
    """What is drawn, and the examples a second: ours, and of arrays where there are any."""
    for size in (32, 224):
        shape = (1, 3, size, size)
        clean = torch.arange(3 * size**2).view(shape).remainder(256).to(torch.uint8)
        changes = arrays(np.int16, shape, elements=st.integers(-EPSILON, EPSILON))
        yield f"images, size {size}", rate(images(size=size)), rate(arrays(np.uint8, shape))
        yield f"perturbations, size {size}", rate(perturbations(clean, EPSILON)), rate(changes)
    yield "views", rate(views()), None


def report(seeds):
    if seeds:
        mine, theirs = scores(ours(), seeds), scores(plain(), seeds)
        yield f"{f'found in {seeds} runs of 100 examples':44}  ours  arrays"
        for name, count in mine.items():
            yield f"{name:44}{count:6}{theirs.get(name, '-'):>8}"
    yield f"{'examples a second':44}  ours  arrays"
    for name, own, plainly in rates():
        yield f"{name:44}{own:6.0f}{'-' if plainly is None else format(plainly, '.0f'):>8}"


if __name__ == "__main__":
    for line in report(int(sys.argv[1]) if len(sys.argv) > 1 else 100):
        sys.stdout.write(f"{line}\n")
