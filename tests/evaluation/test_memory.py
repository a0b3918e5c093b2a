"""When a device runs out of memory, simulated on the CPU: smaller batches, the same results, said once."""

import warnings
import weakref

import numpy as np
import pytest
import torch

from robustcheck import RobustcheckError, RobustnessWarning, evaluate
from robustcheck.notation import register_defence, temporary_steps
from tests.toys import Linear, classifier_of

VIEWS = [
    "x",
    "Adv_5",
    "JPG(Adv_5)",
    "Noise_3",
    "PGD_4[steps=3]",
    "Adv_5[through=JPG]",
    "Worst(Adv_5; Noise_3)",
]


class Small(Linear):
    """Has memory for so many images."""

    def __init__(self, room):
        super().__init__()
        self.room = room
        self.sizes = []

    def forward(self, images):
        self.sizes.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError(f"no room for {len(images)} images")
        return super().forward(images)


def classifier_with(room):
    return classifier_of(Small(room), name="small")


@pytest.mark.parametrize("room", [1, 3, 7, 8])
def test_smaller_batches_give_the_same_and_it_is_said_once(toy_images, room):
    whole = evaluate(classifier_with(99), toy_images, VIEWS, batch_size=8)
    classifier = classifier_with(room)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        records = evaluate(classifier, toy_images, VIEWS, batch_size=8)
    said = [str(warning.message) for warning in told if "memory" in str(warning.message)]
    assert len(said) == (room < 8)
    assert all("cpu ran out of memory with a batch of 8 images" in line for line in said)
    for view in whole.views:
        for name in ("prediction", "p_top", "l2"):
            np.testing.assert_allclose(records.column(name, view), whole.column(name, view), rtol=1e-5)
    # Once it is known how many there is room for, no more are tried.
    sizes = classifier.module.sizes
    first_that_fit = next(at for at, size in enumerate(sizes) if size <= room and at > sizes.index(8))
    assert max(sizes[first_that_fit:]) <= room


def test_no_room_for_one_is_an_error_that_says_what_to_do(toy_images):
    classifier = classifier_with(99)
    classifier.probe()
    classifier.module.room = 0
    with (
        pytest.warns(RobustnessWarning, match="memory"),
        pytest.raises(
            RobustcheckError, match=r"out of memory with a batch of one image .*robustcheck-device"
        ),
    ):
        evaluate(classifier, toy_images, VIEWS)


def test_what_ran_out_of_memory_is_not_held(toy_images):
    """The error's frames hold the images of the batch that was too large."""
    too_many, held = [], []

    class Watched(Small):
        def forward(self, images):
            held.extend(ref() is not None for ref in too_many)
            if len(images) > self.room:
                too_many.append(weakref.ref(images))
            return super().forward(images)

    classifier = classifier_of(Watched(2))
    with pytest.warns(RobustnessWarning, match="memory"):
        evaluate(classifier, toy_images, VIEWS, batch_size=4)
    assert too_many
    assert held
    assert not any(held)


def test_a_registered_step_may_run_out_of_memory(toy_classifier, toy_images):
    with temporary_steps():

        @register_defence("Greedy")
        def greedy(images):
            if len(images) > 3:
                raise torch.OutOfMemoryError("no room")
            return images

        with pytest.warns(RobustnessWarning, match="memory"):
            records = evaluate(toy_classifier, toy_images, ["Greedy"])
        assert records.column("linf", "Greedy").max() == 0
