"""Attacks and the gradient of JPEG in the contexts that torch has around a call, and with what was made in them."""

from contextlib import contextmanager, nullcontext
from functools import partial

import pytest
import torch

from robustcheck import RobustcheckError, jpeg
from robustcheck.attacks import fgs, pgd
from tests import toys


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


CONTEXTS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "float64 by default": default_dtype,
    "another default device": partial(torch.device, "meta"),
    "anomaly detection": torch.autograd.detect_anomaly,
    "deterministic": deterministic,
}
ATTACKS = {
    "fgs": partial(fgs, epsilon=2),
    "pgd": partial(pgd, epsilon=2, steps=3),
    "pgd from zero": partial(pgd, epsilon=2, steps=3, start="zero"),
    "pgd with restarts": partial(pgd, epsilon=2, steps=2, restarts=2, momentum=0.5),
    "pgd through JPEG": partial(pgd, epsilon=2, steps=2, defence=jpeg.differentiable),
}


@pytest.fixture(scope="module")
def bent():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(784, 5)
    )
    return toys.classifier_of(net)


@pytest.fixture(scope="module")
def clean():
    return torch.from_numpy(toys.random_pixels(3))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_context_of_the_call_does_not_matter(bent, clean, attack, context):
    expected = ATTACKS[attack](bent, clean)
    with CONTEXTS[context]():
        found = ATTACKS[attack](bent, clean)
    assert torch.equal(found, expected)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("around", [nullcontext, torch.inference_mode])
@pytest.mark.parametrize("option", ["labels", "targets"])
def test_context_in_which_images_and_labels_were_made_does_not_matter(bent, clean, attack, around, option):
    if attack == "fgs" and option == "targets":
        pytest.skip("fgs has no targets")
    labels = bent(clean).argmax(1)
    with torch.inference_mode():
        made, predicted = clean.clone(), bent(clean).argmax(1)
    with around():
        found = ATTACKS[attack](bent, made, **{option: predicted})
    assert torch.equal(found, ATTACKS[attack](bent, clean, **{option: labels}))


@pytest.mark.parametrize("gradient", ["smooth", "straight-through"])
def test_gradient_of_jpeg_takes_a_quality_made_in_inference_mode(gradient):
    pixels = torch.full((2, 3, 8, 8), 99.5, requires_grad=True)
    with torch.inference_mode():
        quality = torch.tensor([30, 60])
    jpeg.differentiable(pixels, quality=quality, gradient=gradient).sum().backward()
    assert pixels.grad.abs().sum() > 0


def test_jpeg_in_inference_mode_is_exact_and_has_no_gradient(clean):
    with torch.inference_mode():
        found = jpeg.differentiable(clean.float())
    assert not found.requires_grad
    assert torch.equal(found, jpeg.roundtrip(clean).float())


def test_classifier_made_in_inference_mode_is_attacked_or_refused(clean):
    with torch.inference_mode():
        made = toys.classifier_of(toys.Linear())
    with pytest.raises(RobustcheckError, match=r"toy, or a defence .* made under torch.inference_mode"):
        fgs(made, clean, epsilon=1)
    made = toys.classifier_of(toys.Linear())
    with torch.inference_mode():
        again = toys.classifier_of(made.module)
    assert torch.equal(fgs(again, clean, epsilon=1), fgs(made, clean, epsilon=1))


def test_defence_that_cuts_the_gradient_is_named(bent, clean):
    with pytest.raises(RobustcheckError, match="through toy and the defence ahead of it"):
        pgd(bent, clean, epsilon=1, defence=torch.Tensor.detach)
