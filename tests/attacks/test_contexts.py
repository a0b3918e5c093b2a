"""Attacks and the gradient of JPEG in the contexts that torch has around a call, and with what was made in them."""

import re
from contextlib import contextmanager, nullcontext
from functools import partial

import pytest
import torch

from robustcheck import RobustcheckError, jpeg
from robustcheck.attacks import apgd, fgs, pgd, square
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


# What reads the values of its tensors: called as it is by a compiled function, refused where there are none.
CALLS = {
    **{
        name: partial(lambda attack, net, images: attack(net, images), attack)
        for name, attack in ATTACKS.items()
    },
    "apgd": partial(apgd, epsilon=2, steps=3),
    "square": partial(square, epsilon=2, queries=3),
    "roundtrip": lambda _net, images: jpeg.roundtrip(images),
    "differentiable": lambda _net, images: jpeg.differentiable(images.float()),
}


@pytest.mark.parametrize("call", CALLS)
def test_compiled_function_around_the_call_changes_nothing(bent, clean, call):
    compiled = torch.compile(lambda images: CALLS[call](bent, images.flip(3)), backend="eager")
    assert torch.equal(compiled(clean), CALLS[call](bent, clean.flip(3)))


@pytest.mark.parametrize("call", CALLS)
def test_image_inside_vmap_is_refused(bent, clean, call):
    with pytest.raises(RobustcheckError, match="images must be a dense tensor whose values can be read"):
        torch.vmap(lambda image: CALLS[call](bent, image[None])[0])(clean)


@pytest.mark.parametrize("call", [call for call in CALLS if call != "roundtrip"])
def test_tensor_on_the_meta_device_is_refused(bent, clean, call):
    with pytest.raises(RobustcheckError, match="images must be a dense tensor whose values can be read"):
        CALLS[call](bent, clean.to("meta"))


def test_labels_on_the_meta_device_and_gradients_of_torch_func_are_refused(bent, clean):
    with pytest.raises(RobustcheckError, match="labels must be a dense tensor whose values can be read"):
        fgs(bent, clean, epsilon=1, labels=torch.zeros(3, dtype=torch.int64, device="meta"))
    with pytest.raises(RobustcheckError, match=r"torch\.autograd\.grad gives gradients"):
        torch.func.grad(lambda images: jpeg.differentiable(images).sum())(clean.float())


def test_error_of_a_defence_is_not_taken_for_one_of_the_images(bent, clean):
    def broken(_pixels):
        raise RuntimeError("mine")

    with pytest.raises(Exception, match="mine"):
        pgd(bent, clean, epsilon=1, steps=1, defence=broken)


@pytest.mark.parametrize(
    ("convert", "hint"),
    [
        (torch.Tensor.tolist, "torch.as_tensor(labels)"),
        (torch.Tensor.numpy, "torch.as_tensor(labels)"),
        (torch.Tensor.int, "labels.long()"),
        (lambda labels: labels[:, None], "labels.squeeze(1)"),
        (lambda labels: torch.eye(5)[labels], "labels.argmax(1)"),
    ],
)
def test_error_about_labels_says_how_to_convert_them(bent, clean, convert, hint):
    with pytest.raises(RobustcheckError, match=re.escape(f": use {hint}")):
        fgs(bent, clean, epsilon=1, labels=convert(torch.zeros(3, dtype=torch.int64)))


@pytest.mark.parametrize(
    ("convert", "hint"),
    [(torch.Tensor.float, "round().to(torch.uint8)"), (list, "torch.stack(images)")],
)
def test_error_about_images_says_how_to_convert_them(bent, clean, convert, hint):
    with pytest.raises(RobustcheckError, match=re.escape(hint)):
        fgs(bent, convert(clean), epsilon=1)


def test_epsilon_too_large_for_a_float_is_refused(bent, clean):
    with pytest.raises(RobustcheckError, match="from 1 to 255"):
        fgs(bent, clean, epsilon=10**400)
