from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustcheck.attacks import Ball, fgs, gradient_ascent, loss_gradient, pgd
from robustcheck.errors import RobustcheckError
from robustcheck.models import Classifier


def images(*values, count=2):
    pixels = torch.randint(
        0, 256, (count, 3, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    pixels.view(-1)[: len(values)] = torch.tensor(values, dtype=torch.uint8)
    return pixels


def test_every_sample_moves_by_epsilon_along_the_sign_of_the_gradient(toy_classifier):
    clean = images().clamp(20, 235)
    label = toy_classifier(clean).argmax(1)
    pixels = clean.double().requires_grad_()
    logits = ((pixels / 255 - 0.5) / 0.5).flatten(1) @ toy_classifier.module.weight.double().T / 768**0.5
    torch.nn.functional.cross_entropy(logits, label, reduction="sum").backward()
    expected = clean.int() + 3 * pixels.grad.sign().int()
    assert torch.equal(fgs(toy_classifier, clean, epsilon=3).int(), expected)


@pytest.mark.parametrize("attack", [fgs, pgd, partial(pgd, start="zero", steps=2)])
def test_only_a_classifier_is_attacked(toy_classifier, attack):
    with pytest.raises(RobustcheckError, match=r"must be a robustcheck.Classifier, got Linear: wrap"):
        attack(toy_classifier.module, images(), epsilon=1)


@given(epsilon=st.integers(1, 255), seed=st.integers(0, 99))
def test_result_is_eight_bits_within_epsilon_and_the_range(epsilon, seed):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, 256, (2, 3, 4, 4), generator=generator, dtype=torch.uint8)
    signs = torch.randint(-1, 2, clean.shape, generator=generator, dtype=torch.int8)
    ball = Ball.around(clean, epsilon)
    moved = gradient_ascent(ball, lambda _: signs, steps=1, step=ball.epsilon)
    assert moved.dtype == torch.uint8
    assert torch.equal(moved.int(), (clean.int() + epsilon * signs.int()).clamp(0, 255))


def test_loss_of_the_label_goes_up(toy_classifier):
    clean = images(count=8)
    labels = torch.arange(8) % 4

    def loss(batch):
        return torch.nn.functional.cross_entropy(toy_classifier(batch), labels, reduction="none")

    assert (loss(fgs(toy_classifier, clean, epsilon=2, labels=labels)) > loss(clean)).all()


def test_no_labels_means_the_own_top_label(toy_classifier):
    clean = images(count=8)
    own = toy_classifier(clean).argmax(1)
    assert torch.equal(
        fgs(toy_classifier, clean, epsilon=2), fgs(toy_classifier, clean, epsilon=2, labels=own)
    )
    other = fgs(toy_classifier, clean, epsilon=2, labels=(own + 1) % 4)
    assert not torch.equal(fgs(toy_classifier, clean, epsilon=2), other)


@pytest.mark.parametrize(
    "epsilon",
    [0, 0.49, 1.5, -1, 256, float("nan"), float("inf"), 8 / 255, "8", None, True, torch.tensor(8.0), [8], 1j],
)
def test_epsilon_that_rounding_would_erase_is_an_error(toy_classifier, epsilon):
    with pytest.raises(RobustcheckError, match="must be an integer number of pixel levels from 1 to 255"):
        fgs(toy_classifier, images(), epsilon=epsilon)


class Sure(torch.nn.Module):
    """A margin of 40 between two classes: p of the top label is 1 in float32."""

    def forward(self, batch):
        score = batch.flatten(1).mean(1)
        return torch.stack([40 + score, -score, batch.flatten(1)[:, 0]], dim=1)


def test_gradient_survives_a_model_that_is_sure():
    sure = Classifier(Sure(), mean=(0,) * 3, std=(1,) * 3, input_size=16, device="cpu")
    gradient = loss_gradient(sure, images())
    assert gradient.logits.softmax(1)[0, 0] == 1
    values = gradient.values.flatten(1)
    assert (values[:, 1:] < 0).all()  # a brighter image is the more of class 0,
    assert (values[:, 0] > 0).all()  # but for the one sample that class 2 looks at


class Cut(torch.nn.Module):
    def forward(self, batch):
        return batch.detach().flatten(1)[:, :4]


def test_gradient_that_is_cut_is_an_error():
    cut = Classifier(Cut(), mean=(0,) * 3, std=(1,) * 3, input_size=16, device="cpu", name="cut")
    with pytest.raises(RobustcheckError, match="no gradient reaches the pixels through cut"):
        fgs(cut, images(), epsilon=1)


def test_gradient_does_not_depend_on_the_batch(toy_classifier):
    batch = images(count=5)
    alone = torch.cat([fgs(toy_classifier, image[None], epsilon=1) for image in batch])
    assert torch.equal(fgs(toy_classifier, batch, epsilon=1), alone)


def test_defence_is_gone_through(toy_classifier):
    flipped = loss_gradient(toy_classifier, images(), defence=lambda pixels: pixels.flip(3))
    straight = loss_gradient(toy_classifier, images().flip(3))
    assert torch.equal(flipped.logits, straight.logits)
    assert torch.equal(flipped.values, straight.values.flip(3))


@pytest.mark.parametrize(
    ("given", "labels", "message"),
    [
        (images().float() / 255, None, "uint8 tensor .* got torch.float32"),
        (images().numpy(), None, "got a numpy array .* use torch.from_numpy"),
        (None, None, "uint8 tensor .* got None"),
        (images()[:, :, :8], None, "must have shape"),
        (images()[0], None, r"must have shape .* use images\[None\]"),
        (images()[0, 0], None, r"must have shape .* got \(16, 16\)"),
        (images()[:0], None, "N >= 1"),
        (images()[:0], torch.zeros(0, dtype=torch.int64), "N >= 1"),
        (images(), torch.tensor([0, 4]), "classes from 0 to 3, got 0 to 4"),
        (images(), torch.tensor([-1, 0]), "classes from 0 to 3, got -1 to 0"),
        (images(), torch.tensor([0]), r"of shape \(2,\)"),
        (images(), [0, 1], "int64 tensor .* got list"),
        (images(), 3, "int64 tensor .* got 3"),
        (images(), torch.tensor(3), r"int64 tensor .* of shape \(\)"),
        (images(), torch.tensor([0, 1], dtype=torch.int32), "int64 tensor .* got torch.int32"),
        (images(), torch.tensor([[0], [1]]), r"of shape \(2, 1\)"),
        (images(), np.array([0, 1]), "int64 tensor .* got a numpy array"),
    ],
)
def test_images_and_labels_are_what_they_should_be(toy_classifier, given, labels, message):
    with pytest.raises(RobustcheckError, match=message):
        fgs(toy_classifier, given, epsilon=1, labels=labels)


def test_epsilon_in_floats_is_as_good(toy_classifier):
    assert torch.equal(
        fgs(toy_classifier, images(), epsilon=8 / 255 * 255), fgs(toy_classifier, images(), epsilon=8)
    )
