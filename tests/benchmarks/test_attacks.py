"""Iterated attacks against the gradient calls that they need: pytest tests/benchmarks/test_attacks.py -s"""

import statistics
import time

import pytest
import torch

from robustcheck.attacks import Ball, ascend, loss_gradient
from robustcheck.attacks.objective import Objective

ROUNDS, STEPS = 5, 4


@pytest.fixture(scope="module")
def batch(sample_images):
    return next(sample_images.batches(8)).pixels


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@pytest.mark.parametrize("restarts", [1, 2])
def test_pgd_against_its_gradient_calls(sample_classifier, batch, restarts):
    """The ratio is told, and not asserted on: machines are noisy. 1.1 is what it is to stay under."""
    labels = sample_classifier(batch).argmax(1)
    rows = restarts * len(batch)
    size = torch.ones(rows)
    ball = Ball(batch.repeat(restarts, 1, 1, 1), size)
    objective = Objective(sample_classifier, labels.repeat(restarts), batch_size=8)

    def climb():
        start = ball.random(range(rows))
        ascend(ball, objective.gradient, steps=STEPS, step=size / 4, start=start)

    def bare():
        for _ in range(STEPS * restarts):
            loss_gradient(sample_classifier, batch, labels)

    climb(), bare()
    ratios = [seconds(climb) / seconds(bare) for _ in range(ROUNDS)]
    print(  # noqa: T201
        f"\nPGD, {STEPS} steps, {restarts} restarts, over its gradient calls: {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} .. {max(ratios):.3f})"
    )
    assert len(ratios) == ROUNDS
