"""Attacks on the run's model, and iterated ones against the gradient calls that they need."""

import pytest
import torch

from robustcheck.attacks import Ball, loss_gradient
from robustcheck.attacks.gradient_ascent import FixedSteps, ascend
from robustcheck.attacks.objective import Objective

STEPS = 4


@pytest.mark.parametrize("view", ["Adv_1", "PGD_8[steps=4]", "Adv_5[through=JPG]"])
def test_attack(robustcheck_benchmark, view):
    robustcheck_benchmark.attack(view)


@pytest.mark.parametrize("restarts", [1, 2])
def test_pgd_against_its_gradient_calls(robustcheck_benchmark, robustness, pixels, restarts):
    """The ratio is to stay above 1 / 1.1."""
    classifier, batch = robustness.classifier, pixels[:8]
    labels = classifier(batch).argmax(1)
    rows = restarts * len(batch)
    size = torch.ones(rows, device=batch.device)
    ball = Ball(batch.repeat(restarts, 1, 1, 1), size)
    objective = Objective(classifier, labels.repeat(restarts), batch_size=8)

    def climb():
        start = ball.random(range(rows))
        ascend(ball, objective, FixedSteps(size / 4), steps=STEPS, start=start)

    def bare():
        for _ in range(STEPS * restarts):
            loss_gradient(classifier, batch, labels)

    robustcheck_benchmark.ratio(climb, bare, images=len(batch))
