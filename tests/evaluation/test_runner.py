"""Numbers that are fetched late, as on CUDA, and what becomes of them when something goes wrong."""

import numpy as np
import pytest
import torch

from robustcheck import ImageSet, RobustcheckError, evaluate
from robustcheck.evaluation import Evaluation
from robustcheck.evaluation.runner import Measurer


@pytest.fixture
def late(monkeypatch):
    """Have a batch's numbers fetched once the next one has been sent, as on CUDA, and note in what order."""
    steps = []
    sent, fetched = Measurer._send, Measurer._fetched

    def send(self, plan, batch, top_labels, **how):
        self._fetches_late = True
        steps.append(f"send {batch.names[0]}")
        return sent(self, plan, batch, top_labels, **how)

    def fetch(self, plan, parts):
        steps.append(f"fetch {parts[0].names[0]}")
        return fetched(self, plan, parts)

    monkeypatch.setattr(Measurer, "_send", send)
    monkeypatch.setattr(Measurer, "_fetched", fetch)
    return steps


def test_a_batch_is_sent_before_the_one_ahead_of_it_is_fetched(toy_classifier, toy_images, late):
    evaluate(toy_classifier, toy_images, ["Adv_1"], batch_size=5)
    assert late == [f"{what} toy-{number}.png" for what, number in [
        ("send", "00"), ("send", "05"), ("fetch", "00"), ("send", "10"), ("fetch", "05"), ("fetch", "10"),
    ]]  # fmt: skip


def test_late_or_at_once_the_records_are_the_same(toy_classifier, toy_images, request):
    views = ["Adv_1", "JPG(Adv_1)", "PGD_2[steps=2]", "Noise_5"]
    at_once = evaluate(toy_classifier, toy_images, views, batch_size=4)
    request.getfixturevalue("late")
    late = evaluate(toy_classifier, toy_images, views, batch_size=4)
    for view in at_once.views:
        for name in ("prediction", "p_top", "linf", "l2"):
            np.testing.assert_array_equal(at_once.column(name, view), late.column(name, view))


def test_an_image_that_cannot_be_read_costs_no_batch_before_it(toy_classifier, toy_images, late):
    pixels = next(toy_images.batches(13)).pixels.numpy()

    def read(position):
        if position >= 9:
            raise RobustcheckError("this one is broken")
        return pixels[position]

    images = ImageSet(read, names=toy_images.names, name="some")
    evaluation = Evaluation(toy_classifier, images, batch_size=4)
    with pytest.raises(RobustcheckError, match="this one is broken"):
        evaluation.run(["Adv_1"])
    assert evaluation.records.seen("Adv_1").tolist() == [True] * 8 + [False] * 5


def test_a_batch_that_went_wrong_is_not_taken_for_the_next(toy_classifier, toy_images, late, monkeypatch):
    """Logits of the first batch that are not finite are known only once the second has been sent."""
    calls, own = [], type(toy_classifier).logits

    def logits(self, pixels):
        calls.append(len(pixels))
        return own(self, pixels) * (torch.nan if len(calls) == 1 else 1)

    monkeypatch.setattr(type(toy_classifier), "logits", logits)
    evaluation = Evaluation(toy_classifier, toy_images, batch_size=4, optimize="none")
    with pytest.raises(RobustcheckError, match="not finite for 4 of 4"):
        evaluation.run(["x"])
    assert len(calls) == 2
    assert not evaluation.records.seen("x").any()
