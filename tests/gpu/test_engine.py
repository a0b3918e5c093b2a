"""The engine on a device: what it waits for, what it keeps there, and that its numbers are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustcheck import evaluate
from robustcheck.evaluation import Evaluation, RunConfig
from robustcheck.models import PRECISIONS
from tests.gpu import engine
from tests.gpu.engine import OTHERS, TABLE, TOLERANCES, classifier_on, images_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("views", [TABLE, OTHERS])
def test_nothing_waits_for_the_device_inside_a_batch(views):
    assert engine.a_wait_is_seen("cuda")
    assert not engine.waits_by_batches("cuda", views)


def test_memory_does_not_grow_with_the_images():
    few, many = engine.peaks("cuda")
    assert many <= 1.01 * few


def test_records_are_those_of_the_cpu():
    for view, found in engine.differences("cuda").items():
        assert all(found[column] <= most for column, most in TOLERANCES[view].items()), (view, found)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_runs_and_says_so(precision):
    evaluation = Evaluation(classifier_on("cuda"), images_of(16), RunConfig(precision=precision))
    evaluation.run(TABLE)
    exact = evaluate(classifier_on("cuda"), images_of(16), TABLE)
    assert evaluation.provenance.precision.startswith(precision)
    np.testing.assert_allclose(evaluation.records.column("p_top", "x"), exact.column("p_top", "x"), atol=2e-2)


def test_fp32_is_ieee_whatever_the_process_allows():
    classifier, images = classifier_on("cuda"), images_of(8)
    assert torch.backends.cudnn.allow_tf32  # PyTorch's own default
    expected = evaluate(classifier_on("cpu"), images, ["x"], optimize="none").column("p_top", "x")
    found = evaluate(classifier, images, ["x"], optimize="none").column("p_top", "x")
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_batch_size_can_be_measured():
    evaluation = Evaluation(classifier_on("cuda"), images_of(16), RunConfig(batch_size="auto"))
    assert evaluation.batch_size >= 16
