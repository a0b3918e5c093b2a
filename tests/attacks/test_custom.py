"""A repository's own attacks and defences: declared by a decorator, checked like any other."""

import subprocess
import sys
from typing import Literal

import numpy as np
import pytest
import torch

import robustcheck
from robustcheck import RobustcheckError, evaluate
from robustcheck.notation import NotationError, parse, temporary_steps
from robustcheck.records import COLUMNS


@pytest.fixture
def registry():
    """Forget what a test registered."""
    with temporary_steps():
        yield


@pytest.fixture
def median(registry):
    @robustcheck.register_defence("Median", amount="size")
    def median(images, *, size: int = 3):
        """Median of a square."""
        padded = torch.nn.functional.pad(images.float(), [size // 2] * 4, mode="reflect")
        patches = padded.unfold(2, size, 1).unfold(3, size, 1).flatten(4)
        return patches.median(dim=4).values.round().to(images.dtype)

    return median


@pytest.fixture
def scaled(registry):
    @robustcheck.register_defence("Scaled", gradient="own")
    def scaled(images, *, by: float = 0.5, kind: Literal["plain", "rounded"] = "plain"):
        found = images.float() * by
        return (found.round() if kind == "rounded" or not images.is_floating_point() else found).to(
            images.dtype
        )

    return scaled


@pytest.fixture
def darken(registry):
    @robustcheck.register_attack("Darken")
    def darken(classifier, images, labels, *, epsilon, spare: float = 0.0, everywhere: bool = True):
        assert labels.shape == (len(images),)
        moved = (images.int() - round(epsilon * (1 - spare))).clamp(0, 255).to(torch.uint8)
        return moved if everywhere else images

    return darken


def test_defence_is_a_view_like_any_other(median, toy_classifier, toy_images):
    views = [
        "Median",
        "Median_5",
        "Median(Adv_9)",
        "JPG(Median(Adv_9))",
        "Median(Adv_9[through=Median:identity])",
    ]
    records = evaluate(toy_classifier, toy_images, views)
    clean = next(toy_images.batches(13)).pixels
    for view, size in (("Median", 3), ("Median_5", 5)):
        change = (median(clean, size=size).double() - clean.double()).flatten(1)
        np.testing.assert_allclose(records.column("l2", view), change.norm(dim=1))
    assert str(parse("Median_3(Adv_1)")) == "Median(Adv_1)"
    assert parse("Median_5(Adv_1)").blind_to == ("Median_5",)


def test_adaptive_counterpart_of_a_defence_without_gradient_passes_it_by(median):
    assert str(parse("Median_5(Adv_1)").adaptive_counterpart) == "Median_5(Adv_1[through=Median_5:identity])"
    assert parse("Adv_1[through=Median_5]") == parse("Adv_1[through=Median_5:identity]")


def test_own_gradient_is_gone_through(scaled, toy_classifier, toy_images):
    views = ["Adv_9[through=Scaled]", "Adv_9[through=Scaled[by=-1]]", "Adv_9"]
    records = evaluate(toy_classifier, toy_images, views)
    # Through a half it is nearly the same direction for a linear model; through a negative the opposite one.
    np.testing.assert_allclose(records.column("p_top", views[0]), records.column("p_top", "Adv_9"), atol=0.02)
    assert records.mean("p_top", views[1]) > records.mean("p_top", "x") > records.mean("p_top", "Adv_9") + 0.1
    assert parse("Scaled[by=0.5,kind=plain]") == parse("Scaled")


def test_attack_is_a_view_like_any_other(darken, toy_classifier, toy_images):
    records = evaluate(
        toy_classifier, toy_images, ["Darken_8", "JPG(Darken_8[spare=0.5])", "Darken_8[everywhere=false]"]
    )
    assert records.column("linf", "Darken_8").max() == 8
    assert records.column("linf", "Darken_8[everywhere=false]").max() == 0
    assert parse("JPG(Darken_8)").blind_to == ("JPG",)
    assert parse("Darken_8[spare=0]") == parse("Darken_8")


def test_what_is_random_is_drawn_from_seeds(registry, toy_classifier, toy_images):
    @robustcheck.register_defence("Rolled")
    def rolled(images, *, seeds):
        return torch.stack([image.roll(seed % 16, 2) for image, seed in zip(images, seeds, strict=True)])

    assert parse("Rolled").is_seeded
    runs = [evaluate(toy_classifier, toy_images, ["Rolled"], batch_size=size) for size in (4, 13)]
    np.testing.assert_array_equal(runs[0].column("l2", "Rolled"), runs[1].column("l2", "Rolled"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Median_5[sise=3]", "Median has no option 'sise'"),
        ("Median_2.5", "size must be an integer, got 2.5"),
        ("Darken", "Darken needs its epsilon, as in Darken_1"),
        ("Darken_300", "epsilon must be an integer from 1 to 255"),
        ("Darken_8[spare=x]", "spare must be a number, got x"),
        ("Darken_8[everywhere=no]", "everywhere must be one of true, false, got no"),
        ("Scaled[kind=odd]", "kind must be one of plain, rounded, got odd"),
        ("Medan_3", "did you mean Median?"),
    ],
)
def test_what_may_be_written_is_what_the_function_takes(median, darken, scaled, text, message):
    with pytest.raises(NotationError, match=message.replace("?", r"\?")):
        parse(text)


def test_attack_that_leaves_its_ball_is_an_error_naming_it(registry, toy_classifier, toy_images):
    @robustcheck.register_attack("Bold")
    def bold(classifier, images, labels, *, epsilon):
        return (images.int() + 2 * epsilon).clamp(0, 255).to(torch.uint8)

    with pytest.raises(
        RobustcheckError, match="Bold_8 moved a sample by 16 levels, more than its epsilon of 8"
    ):
        evaluate(toy_classifier, toy_images, ["Bold_8"])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda images: images.float(), "returned torch.float32"),
        (lambda images: images[:, :, :8], "returned torch.uint8"),
        (lambda images: images.numpy(), "returned ndarray"),
        (lambda images: None, "returned NoneType"),
        (lambda images: 1 / 0, "failed on Odd: ZeroDivisionError"),
    ],
)
def test_what_a_function_returns_is_checked(registry, toy_classifier, toy_images, returned, message):
    @robustcheck.register_defence("Odd")
    def odd(images):
        return returned(images)

    with pytest.raises(RobustcheckError, match=f"registered as Odd {message}"):
        evaluate(toy_classifier, toy_images, ["Odd"])


def test_function_that_can_t_be_a_step_is_refused(registry):
    def no_images(*, size: int = 3): ...

    def positional(images, size=3): ...

    def shapeless(images, *, thing): ...

    def fine(images): ...

    for name, function, message in (
        ("A", no_images, r"takes \(images, \*, ...\)"),
        ("B", positional, r"takes \(images, \*, ...\)"),
        ("C", shapeless, "the parameter thing of C has no default"),
        ("Step_2", fine, "digits behind an underscore are its amount"),
        ("JPG", fine, "there is a step JPG already"),
        ("foolbox", fine, "there is a step foolbox already"),
    ):
        with pytest.raises(RobustcheckError, match=message):
            robustcheck.register_defence(name)(function)
    with pytest.raises(RobustcheckError, match="lacks the keyword-only parameter size"):
        robustcheck.register_defence("D", amount="size")(fine)
    with pytest.raises(RobustcheckError, match=r"takes \(classifier, images, labels, \*, epsilon, ...\)"):
        robustcheck.register_attack("E")(fine)


def test_the_same_function_imported_twice_is_no_quarrel(registry):
    def make():
        @robustcheck.register_defence("Twice")
        def twice(images):
            return images

    make()
    make()


def test_registering_imports_no_torch():
    code = (
        "import sys, robustcheck\n"
        "@robustcheck.register_defence('Same')\n"
        "def same(images): return images\n"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_defence_and_attack_may_change_their_images_in_place(registry, toy_classifier, toy_images):
    @robustcheck.register_defence("Blacken")
    def blacken(images):
        return images.fill_(0)

    @robustcheck.register_attack("Bolder")
    def bolder(_classifier, images, labels, *, epsilon):
        labels.fill_(0)
        return images.bitwise_xor_(1)

    records = evaluate(toy_classifier, toy_images, ["Blacken", "Bolder_1", "Noise_1"])
    plain = evaluate(toy_classifier, toy_images, ["Noise_1"])
    assert records.mean("linf", "Blacken") > 200
    assert records.mean("linf", "Bolder_1") == 1
    for view in plain.views:
        for name in COLUMNS:
            assert plain.columns[view][name].tobytes() == records.columns[view][name].tobytes(), (view, name)


def test_attack_that_leaves_its_ball_in_place_is_an_error(registry, toy_classifier, toy_images):
    @robustcheck.register_attack("Inverted")
    def inverted(_classifier, images, _labels, *, epsilon):
        return images.bitwise_not_()

    with pytest.raises(RobustcheckError, match="more than its epsilon of 1"):
        evaluate(toy_classifier, toy_images, ["Inverted_1"])


@pytest.mark.parametrize("function", [3, max, None])
def test_what_has_no_signature_is_refused(registry, function):
    with pytest.raises(RobustcheckError, match="the function of Odd must be a Python function"):
        robustcheck.register_attack("Odd")(function)
