"""Prints what a baseline saves, and how often assisted tests err: python tests/benchmarks/assisted_decisions.py

A new run is right on half of 50,000 images; the old one differs on a share of them (churn), as often each way. Images
are read in a random order, with a look every 64 images and no least number. False verdicts are counted at the exact
boundary of 2,000 images, where neither `mean > c` nor `mean < c` is true.
"""

# ruff: noqa: T201  a script prints

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from robustcheck.claims.assisted_bets import LARGEST, RATIO, AssistedGame, OldValues
from robustcheck.claims.bets import Game, Wealth
from robustcheck.claims.sequential import MeanTest
from robustcheck.claims.test_spec import TestSpec

N, BATCH = 50_000, 64
MARGINS = (0.10, 0.05, 0.02, 0.01)
CHURNS = (0.01, 0.03, 0.05, 0.10)
BOUNDARY_N = 2_000


def new_values(n: int, share: float = 0.5) -> Any:
    """Return 0/1 values with that share of ones: (n,)."""
    return (np.arange(n) < round(share * n)).astype(float)


def old_values(kind: str, new: Any, rng: np.random.Generator) -> Any:
    """Return the old values of a kind of baseline: (n,)."""
    n = len(new)
    match kind.split():
        case ["churn", points, "%"]:
            flips, old = round(float(points) / 200 * n), new.copy()
            for value in (0, 1):
                old[rng.choice(np.flatnonzero(new == value), flips, replace=False)] = 1 - value
            return old
        case ["shuffled"]:
            return rng.permutation(new)
        case ["inverted"]:
            return 1 - new
        case ["constant"]:
            return np.full(n, new.mean())
        case _:
            return np.where(rng.random(n) < 0.5, new, rng.integers(0, 2, n))


def shipped(new: Any, old: Any, threshold: float) -> int:
    """Return how many images the test that ships takes, with old values or without."""
    spec = TestSpec(threshold, 0.0, 1.0, len(new), min_seen=0)
    test = MeanTest(spec, None if old is None else OldValues(old))
    for start in range(0, len(new), BATCH):
        test.update(new[start : start + BATCH])
        if test.done:
            break
    return test.seen


def with_bets(largest: float, ratio: float, *, alone: bool) -> Callable[[Any, Any, float], int]:
    """Return what counts the images of bets of a size on the differences, alone or as half of the stake."""

    def images(new: Any, old: Any, threshold: float) -> int:
        known = OldValues(old)
        plain = Game(threshold, len(new))
        differences = Game((threshold - known.mean + 1) / 2, len(new), largest, ratio)
        wealth, total = Wealth.start(8 if alone else 16), 0.0
        for start in range(0, len(new), BATCH):
            values = new[start : start + BATCH]
            changed = (values - old[start : start + BATCH] + 1) / 2
            before = (total - known.before(start) + start) / 2
            growth, _ = differences.growth(changed, start, before, up=True, down=False)
            if not alone:
                first, _ = plain.growth(values, start, total, up=True, down=False)
                growth = np.concatenate([first, growth])
            wealth = wealth.grown(growth, None)
            total += float(values.sum())
            if wealth.best_up >= np.log(20):
                return start + len(values)
        return len(new)

    return images


WAYS: dict[str, Callable[[Any, Any, float], int]] = {
    "as shipped": shipped,
    "same bets, differences alone": with_bets(LARGEST, RATIO, alone=True),
    "bets by halves, both": with_bets(0.9, 0.5, alone=False),
    "bets by halves, alone": with_bets(0.9, 0.5, alone=True),
}


def mean_images(way: Callable[..., int], kind: str | None, margin: float, runs: int, seed: int) -> float:
    """Return the mean number of images to a decision of `mean >= 50 % - margin`."""
    rng = np.random.default_rng(seed)
    new, seen = new_values(N), []
    for _ in range(runs):
        old = None if kind is None else old_values(kind, new, rng)
        order = rng.permutation(N)
        seen.append(way(new[order], None if old is None else old[order], 0.5 - margin))
    return float(np.mean(seen))


def print_table(runs: int, seed: int) -> None:
    """Print the mean number of images by margin, churn and way of betting."""
    print(f"Mean images to a decision, N = {N:,}, {runs} runs a cell")
    print(f"{'bets':30} {'margin':>7} {'unassisted':>11}" + "".join(f"{c:>9.0%}" for c in CHURNS))
    for name, way in WAYS.items():
        for margin in MARGINS:
            plain = mean_images(shipped, None, margin, runs, seed) if way is shipped else None
            cells = [mean_images(way, f"churn {100 * churn:g} %", margin, runs, seed) for churn in CHURNS]
            shown = "" if plain is None else f"{plain:,.0f}"
            print(f"{name:30} {margin:7.2f} {shown:>11}" + "".join(f"{c:>9,.0f}" for c in cells), flush=True)
    print(f"\nA baseline that does not fit, margin 0.02: mean images of {max(1, runs // 5)} runs")
    for kind in ("shuffled", "inverted", "constant", "right on a random half"):
        cells = [mean_images(way, kind, 0.02, max(1, runs // 5), seed) for way in WAYS.values()]
        print(
            f"{kind:24}" + "".join(f"{name}: {cell:,.0f}; " for name, cell in zip(WAYS, cells, strict=True)),
            flush=True,
        )


def boundary_kinds() -> Iterator[str]:
    """Yield the kinds of baseline."""
    yield from (
        "churn 1 %",
        "churn 5 %",
        "churn 20 %",
        "shuffled",
        "inverted",
        "constant",
        "right on a random half",
    )


def print_errors(runs: int, seed: int) -> None:
    """Print the share of false verdicts at the exact boundary, by kind of baseline."""
    print(
        f"\nFalse verdicts at the exact boundary, N = {BOUNDARY_N:,}, {runs:,} runs a kind: share (standard error)"
    )
    print(
        f"{'baseline':24} {'pass, 0.05':>17} {'pass, 0.01':>17} {'refuted, 0.05':>17} {'refuted, 0.01':>17}"
    )
    new = new_values(BOUNDARY_N)
    for kind in boundary_kinds():
        rng, best = np.random.default_rng(seed), np.empty((runs, 2))
        for run in range(runs):
            old, order = old_values(kind, new, rng), rng.permutation(BOUNDARY_N)
            game = AssistedGame(Game(0.5, BOUNDARY_N), OldValues(old[order]))
            # The last value is certain from those before: a false verdict falls before it.
            wealth = game.after(game.start(), new[order][:-1], 0, 0.0, up=True, down=True)
            best[run] = wealth.best_up, wealth.best_down
        cells = []
        for column in (0, 1):
            for alpha in (0.05, 0.01):
                share = float((best[:, column] >= -np.log(alpha)).mean())
                cells.append(f"{share:.4f} ({(share * (1 - share) / runs) ** 0.5:.4f})")
        print(f"{kind:24}" + "".join(f" {cell:>17}" for cell in cells), flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=200, help="of each cell of the table")
    options.add_argument("--boundary-runs", type=int, default=10_000, help="of each kind of baseline")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    print_table(chosen.runs, chosen.seed)
    print_errors(chosen.boundary_runs, chosen.seed)
