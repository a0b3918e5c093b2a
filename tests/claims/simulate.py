"""Prints what the sequential test costs and how often it errs, by running it: python tests/claims/simulate.py

Images have nested outcomes: x right on 76 %, Adv_1 on 25 %, JPG(Adv_1) on 55 % of them. A recovery's margin is in
points of accuracy: numerator - c * denominator.
"""

# ruff: noqa: T201  a script prints

from __future__ import annotations

import argparse

import numpy as np

from robustcheck.claims import parse_claim
from robustcheck.claims.decisions import decide_early
from robustcheck.claims.sequential import MeanTest
from robustcheck.claims.test_spec import TestSpec
from robustcheck.notation import parse

SHARES = {"x": 0.76, "Adv_1": 0.25, "JPG(Adv_1)": 0.55}
TERMS = {("accuracy", parse(view)): column for column, view in enumerate(SHARES)}
BATCH = 64


def outcomes(n):
    """Return the share-exact nested outcomes of n images: (n, 3)."""
    position = (np.arange(n) + 0.5) / n
    return np.column_stack([position < share for share in SHARES.values()]).astype(float)


def batches(values):
    return (values[start : start + BATCH] for start in range(0, len(values), BATCH))


def images_to_decision(text, table, rng, **options):
    """Return how many images one run takes, and its verdict."""
    claim = parse_claim(text)
    columns = table[:, [TERMS[term] for term in claim.terms]]
    verdict = decide_early(claim, batches(rng.permutation(columns)), len(table), **options)
    return verdict.seen, verdict.state


def stopped(spec, values):
    """Return whether a stream passes, stopping as soon as it is decided."""
    test = MeanTest(spec)
    for batch in batches(values):
        test.update(batch)
        if test.done:
            break
    return test.state == "holds"


def print_costs(runs, rng):
    print(
        f"Images to decision, batches of {BATCH}, alpha 0.05 and 0.01, {runs} runs each: mean (95th percentile)"
    )
    print(f"{'claim':34} {'margin':>7} {'verdict':>8} {'N = 50,000':>16} {'N = 5,000':>16} {'wrong':>6}")
    rows = [
        (margin, f"accuracy(JPG(Adv_1)) >= {0.55 - margin:.4f}") for margin in (0.2, 0.1, 0.05, 0.02, 0.01)
    ]
    rows += [(-margin, f"accuracy(JPG(Adv_1)) >= {0.55 + margin:.4f}") for margin in (0.1, 0.05, 0.02)]
    rows += [(margin, f"recovery(JPG(Adv_1)) >= {(0.3 - margin) / 0.51:.4f}") for margin in (0.1, 0.05, 0.02)]
    for margin, text in rows:
        cells, wrong, right = [], 0, "holds" if margin > 0 else "refuted"
        for n in (50_000, 5_000):
            table = outcomes(n)
            results = [images_to_decision(text, table, rng) for _ in range(runs)]
            seen = np.array([count for count, _ in results])
            wrong += sum(state != right for _, state in results)
            cells.append(f"{seen.mean():,.0f} ({np.percentile(seen, 95):,.0f})")
        print(f"{text:34} {margin:+7.2f} {right:>8} {cells[0]:>16} {cells[1]:>16} {wrong:6d}", flush=True)


def print_floor(runs, rng):
    """The larger margins without the floor of 256 images: what the evidence alone takes."""
    print(f"\nThe same without the floor of 256 images, {runs} runs each: mean")
    for margin in (0.2, 0.1, 0.05):
        means = []
        for n in (50_000, 5_000):
            table = outcomes(n)
            text = f"accuracy(JPG(Adv_1)) >= {0.55 - margin:.4f}"
            seen = [images_to_decision(text, table, rng, min_seen=0)[0] for _ in range(runs)]
            means.append(f"{np.mean(seen):,.0f}")
        print(f"accuracy, margin {margin:.2f}: N = 50,000: {means[0]}, N = 5,000: {means[1]}")


def boundary_streams(rng):
    """Yield name, population and a maker of streams whose mean is exactly 0.55: `mean > 0.55` is false of each."""
    right = outcomes(2_000)[:, 2]
    probability = rng.beta(0.6, 0.5, 2_000)
    for _ in range(50):
        probability = np.clip(probability + 0.55 - probability.mean(), 0, 1)
    assert abs(probability.mean() - 0.55) < 1e-12
    assert 0 <= probability.min() <= probability.max() <= 1
    yield "0/1, without replacement, N = 2,000", 2_000, lambda: rng.permutation(right)
    yield "0/1, with replacement, at most 2,000", None, lambda: rng.choice(right, 2_000)
    yield "continuous, without replacement, N = 2,000", 2_000, lambda: rng.permutation(probability)
    yield "continuous, with replacement, at most 2,000", None, lambda: rng.choice(probability, 2_000)


def print_errors(runs, rng):
    print(f"\nFalse passes at the exact boundary (mean = 0.55, claim mean > 0.55), {runs:,} runs each")
    for name, population, stream in boundary_streams(rng):
        for alpha in (0.05, 0.01):
            spec = TestSpec(0.55, 0.0, 1.0, population, alpha=alpha, alpha_refute=1e-9, strict=True)
            passes = sum(stopped(spec, stream()) for _ in range(runs))
            share = passes / runs
            error = (share * (1 - share) / runs) ** 0.5
            print(f"{name:44} alpha {alpha}: {share:.4f} +- {error:.4f}", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=10_000, help="of each false-pass rate")
    options.add_argument("--cost-runs", type=int, default=400, help="of each cell of the cost table")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    generator = np.random.default_rng(chosen.seed)
    print_costs(chosen.cost_runs, generator)
    print_floor(chosen.cost_runs, generator)
    print_errors(chosen.runs, generator)
