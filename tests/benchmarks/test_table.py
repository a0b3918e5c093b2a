"""The paper's eight views of the run's model, alone, against plain scripts, and against the bare model calls."""

import pytest

from robustcheck import ImageSet, evaluate
from robustcheck.benchmark.fixture import STUDY

ROUNDS = 6


@pytest.fixture
def ours(robustness, pixels):
    """The table of the images that the others get, from memory as they do."""
    images = ImageSet.from_arrays(pixels)
    return lambda: evaluate(robustness.classifier, images, STUDY)


def test_table(robustcheck_benchmark):
    robustcheck_benchmark.table(rounds=3)


@pytest.mark.parametrize("batch_size", [8, 20])
def test_against_torchattacks(robustcheck_benchmark, ours, torchattacks_script, pixels, batch_size):
    robustcheck_benchmark.ratio(
        ours, lambda: torchattacks_script(batch_size), rounds=ROUNDS, images=len(pixels)
    )


def test_against_foolbox(robustcheck_benchmark, ours, foolbox_script, pixels):
    robustcheck_benchmark.ratio(ours, lambda: foolbox_script(8), rounds=ROUNDS, images=len(pixels))


def test_against_the_model_calls_alone(robustcheck_benchmark, ours, model_calls, pixels):
    robustcheck_benchmark.ratio(ours, model_calls, rounds=ROUNDS, images=len(pixels))
