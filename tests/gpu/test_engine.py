"""The engine on a device: what it waits for, what it keeps there, and that its numbers are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision

from robustcheck import Classifier, ImageSet, evaluate
from robustcheck.evaluation import Evaluation
from robustcheck.evaluation.runner import Measurer
from robustcheck.models import PRECISIONS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

TABLE = ["x", "Adv_1", "Adv_5", "Adv_10", "JPG(Adv_1)", "JPG(Adv_5)", "JPG(Adv_10)", "JPG_noise(Adv_1)"]


def classifier_on(device, size=64):
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=10).eval()
    return Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=size, device=device)


def images_of(count, size=64):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return ImageSet.from_arrays(pixels)


@pytest.fixture
def strict(monkeypatch):
    """Have torch raise where the host waits for the device while a batch is given to it, the first aside."""
    sent = Measurer._send
    batches = []

    def send(self, plan, batch, top_labels, **how):
        batches.append(batch)
        torch.cuda.set_sync_debug_mode("error" if len(batches) > 1 else "default")
        try:
            return sent(self, plan, batch, top_labels, **how)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Measurer, "_send", send)
    return batches


@pytest.mark.parametrize("views", [TABLE, ["PGD_4[steps=3]", "JPG_50..90(Noise_5)", "Adv_2[through=JPG]"]])
def test_nothing_waits_for_the_device_while_a_batch_is_sent(strict, views):
    evaluate(classifier_on("cuda"), images_of(64), views, batch_size=16)
    assert len(strict) == 4


def test_memory_does_not_grow_with_the_images():
    classifier, peaks = classifier_on("cuda"), []
    for count in (64, 512):
        images = images_of(count)
        torch.cuda.reset_peak_memory_stats()
        evaluate(classifier, images, TABLE, batch_size=32)
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] <= 1.01 * peaks[0]


def test_records_are_those_of_the_cpu():
    """The FGS view's pixels depend on the signs of a gradient, of which a few near zero differ between devices."""
    images = images_of(32)
    here, there = (
        evaluate(classifier_on(device), images, ["x", "JPG", "Noise_5", "Adv_5"])
        for device in ("cpu", "cuda")
    )
    for view in ("x", "JPG", "Noise_5"):
        np.testing.assert_array_equal(here.column("l2", view), there.column("l2", view))
        np.testing.assert_allclose(here.column("p_top", view), there.column("p_top", view), atol=1e-4)
    np.testing.assert_allclose(here.column("p_top", "Adv_5"), there.column("p_top", "Adv_5"), atol=2e-2)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_runs_and_says_so(precision):
    evaluation = Evaluation(classifier_on("cuda"), images_of(16), precision=precision)
    evaluation.run(TABLE)
    exact = evaluate(classifier_on("cuda"), images_of(16), TABLE)
    assert evaluation.provenance["precision"].startswith(precision)
    np.testing.assert_allclose(evaluation.records.column("p_top", "x"), exact.column("p_top", "x"), atol=2e-2)


def test_fp32_is_ieee_whatever_the_process_allows():
    classifier, images = classifier_on("cuda"), images_of(8)
    assert torch.backends.cudnn.allow_tf32  # PyTorch's own default
    expected = evaluate(classifier_on("cpu"), images, ["x"], optimize="none").column("p_top", "x")
    found = evaluate(classifier, images, ["x"], optimize="none").column("p_top", "x")
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_batch_size_can_be_measured():
    evaluation = Evaluation(classifier_on("cuda"), images_of(16), batch_size="auto")
    assert evaluation.batch_size >= 16
