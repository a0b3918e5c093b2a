"""Numbers that are fetched late, as on CUDA, and what becomes of them when something goes wrong."""

import numpy as np
import pytest
import torch

from robustcheck import ImageSet, RobustcheckError
from robustcheck.evaluation import Evaluation, RunConfig


def evaluation_of(classifier, images, *, late=True, **options):
    """An evaluation that fetches a batch's numbers once the next one has been sent, as on CUDA."""
    return Evaluation(
        classifier, images, RunConfig(batch_size=4, optimize="none", fetch_late=late), **options
    )


def test_a_batch_is_sent_before_the_one_ahead_of_it_is_fetched(toy_classifier, toy_images):
    steps = []
    evaluation = evaluation_of(
        toy_classifier, toy_images, progress=lambda done, _: steps.append(f"fetched {done}")
    )
    toy_classifier.probe()

    def note(_module, _args, output):
        if len(output) != 2:  # what is tried of the model before it begins
            steps.append("sent")

    hook = toy_classifier.module.register_forward_hook(note)
    try:
        evaluation.run(["x"])
    finally:
        hook.remove()
    # The first batch is looked at for what is wrong with the model when it is fetched, with one image.
    assert steps == [
        *("sent", "sent", "sent", "fetched 4"),
        *("sent", "fetched 8"),
        *("sent", "fetched 12", "fetched 13"),
    ]


def test_late_or_at_once_the_records_are_the_same(toy_classifier, toy_images):
    views = ["Adv_1", "JPG(Adv_1)", "PGD_2[steps=2]", "Noise_5"]
    at_once, late = (evaluation_of(toy_classifier, toy_images, late=is_late) for is_late in (False, True))
    for evaluation in (at_once, late):
        evaluation.run(views)
    for view in at_once.records.views:
        for name in ("prediction", "p_top", "linf", "l2"):
            np.testing.assert_array_equal(at_once.records.column(name, view), late.records.column(name, view))


def test_an_image_that_cannot_be_read_costs_no_batch_before_it(toy_classifier, toy_images):
    pixels = next(toy_images.batches(13)).pixels.numpy()

    def read(position):
        if position >= 9:
            raise RobustcheckError("this one is broken")
        return pixels[position]

    images = ImageSet(read, names=toy_images.names, name="some")
    evaluation = evaluation_of(toy_classifier, images)
    with pytest.raises(RobustcheckError, match="this one is broken"):
        evaluation.run(["Adv_1"])
    assert evaluation.records.seen("Adv_1").tolist() == [True] * 8 + [False] * 5


def test_a_batch_that_went_wrong_is_not_taken_for_the_next(toy_classifier, toy_images, monkeypatch):
    """Logits of the first batch that are not finite are known only once the second has been sent."""
    calls, own = [], type(toy_classifier).logits

    def logits(self, pixels):
        calls.append(len(pixels))
        return own(self, pixels) * (torch.nan if len(calls) == 1 else 1)

    monkeypatch.setattr(type(toy_classifier), "logits", logits)
    evaluation = evaluation_of(toy_classifier, toy_images)
    with pytest.raises(RobustcheckError, match="not finite for 4 of 4"):
        evaluation.run(["x"])
    assert len(calls) == 2
    assert not evaluation.records.seen("x").any()
