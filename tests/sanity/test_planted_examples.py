"""Attacks must find the adversarial examples that are planted for them: sound ones do, and broken ones fail."""

import re

import pytest
import torch

import robustcheck
from robustcheck import ImageSet, RobustcheckError, attacks
from robustcheck.notation import parse, temporary_steps
from robustcheck.sanity.planted_examples import attacks_in, planted_check
from robustcheck.sanity.planted_problems import Planting, Threat
from robustcheck.sanity.registry import examine, find_check
from robustcheck.sanity.subject import Subject
from tests import toys
from tests.sanity import networks


@pytest.fixture(scope="module")
def subject():
    return Subject(*networks.trained("two"), count=40)


@pytest.fixture(scope="module")
def broken():
    """Registered attacks: one that is sound, and some with a fault each."""
    with temporary_steps():

        @robustcheck.register_attack("Sound")
        def sound(classifier, images, labels, *, epsilon: int):
            return attacks.pgd(classifier, images, epsilon=epsilon, labels=labels, steps=10)

        @robustcheck.register_attack("Unscaled")
        def unscaled(classifier, images, labels, *, epsilon: int):
            change = (
                attacks.pgd(classifier, images, epsilon=epsilon, labels=labels, steps=10).float() - images
            )
            return (images + change / 255).round().to(torch.uint8)

        @robustcheck.register_attack("Downwards")
        def downwards(classifier, images, labels, *, epsilon: int):
            return attacks.pgd(classifier, images, epsilon=epsilon, targets=labels, steps=10)

        @robustcheck.register_attack("Cut")
        def cut(classifier, images, labels, *, epsilon: int):
            signs = torch.randint(0, 2, images.shape, generator=torch.Generator().manual_seed(5)) * 2 - 1
            return (images.int() + epsilon * signs).clamp(0, 255).to(torch.uint8)

        @robustcheck.register_attack("OneCorner")
        def one_corner(classifier, images, labels, *, epsilon: int):
            found = attacks.pgd(classifier, images, epsilon=epsilon, labels=labels, steps=10)
            found[:, :, 4:] = images[:, :, 4:]
            return found

        @robustcheck.register_attack("Fails")
        def fails(classifier, images, labels, *, epsilon: int):
            raise ValueError("no such thing")

        yield


@pytest.mark.parametrize(
    "view", ["PGD_24", "PGD_24[steps=5]", "APGD_24[steps=10]", "PGD_24[label=true]", "Sound_24"]
)
def test_sound_attack_of_many_steps_passes(subject, broken, view):
    result = planted_check(view).run(subject)
    assert result.state == "passed", result
    assert result.name == f"attack_finds_the_planted_example[{view}]"
    assert f"{view} finds 2" in result.text  # twenty and some


@pytest.mark.parametrize(
    "view", ["PGD_24[step=0.001,steps=5]", "Unscaled_24", "Downwards_24", "Cut_24", "OneCorner_24"]
)
def test_broken_attack_fails_and_says_by_how_much(subject, broken, view):
    result = planted_check(view).run(subject)
    assert result.state == "failed", result
    assert "with 95 % confidence, and 90% are required" in result.text
    assert "A model that withstands it has shown nothing" in result.text


def test_attack_that_raises_fails_with_its_own_words(subject, broken):
    result = planted_check("Fails_24").run(subject)
    assert result.state == "failed"
    assert "the function registered as Fails failed on Fails_24: ValueError: no such thing" in result.text


def test_single_step_and_transfer_are_listed_and_not_judged(subject):
    single = planted_check("Adv_24").run(subject)
    assert single.state == "passed"
    assert "it is listed, not judged" in single.text
    transfer = planted_check("PGD_24[from=resnet18]").run(subject)
    assert transfer.state == "passed"
    assert "made on another model" in transfer.text


@pytest.mark.parametrize(
    ("view", "broken_view"),
    [
        ("JPG(PGD_24[steps=10,through=JPG])", "JPG(PGD_24[step=0.001,steps=5,through=JPG])"),
        (
            "Noise_4(PGD_24[eot=2,steps=10,through=Noise_4])",
            "Noise_4(PGD_24[step=0.001,steps=5,through=Noise_4])",
        ),
        ("PGD_500[norm=2,steps=10]", "PGD_500[norm=2,step=0.001,steps=5]"),
    ],
)
def test_examples_survive_the_defences_that_the_attack_goes_through(subject, view, broken_view):
    assert planted_check(view).run(subject).state == "passed"
    assert planted_check(broken_view).run(subject).state == "failed"


@pytest.mark.parametrize(
    ("count", "epsilon", "words"),
    [
        (3, 24, r"of \d\d? planted"),
        (40, 140, "of 1 planted"),
    ],  # few images; images that an attack can make equal
)
def test_too_few_problems_are_not_testable(count, epsilon, words):
    classifier, images = networks.trained("two")
    result = planted_check(f"PGD_{epsilon}").run(Subject(classifier, images, count=count))
    assert result.state == "skipped"
    assert re.match(f"not testable: {words}", result.text)
    assert "20 are needed. More images help" in result.text


class Masked(torch.nn.Module):
    """A network whose gradient is 0, whatever the loss."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        if images.requires_grad:
            images = images.clone()
            images.register_hook(torch.zeros_like)
        return self.network(images)


def test_masked_gradient_is_not_testable_by_attacks_that_follow_it():
    classifier, images = networks.trained("two")
    masked = networks.Classifier(
        Masked(classifier.module), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="cpu", name="masked"
    )
    result = planted_check("PGD_24").run(Subject(masked, images, count=24))
    assert result.state == "skipped"
    assert "the gradient may be masked" in result.text


class Rounded(torch.nn.Module):
    """A network without a gradient."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images.detach())


@pytest.mark.slow
def test_without_a_gradient_a_search_is_the_reference():
    rounded = toys.classifier_of(Rounded(toys.Linear()))
    images = ImageSet.from_arrays(toys.random_pixels(24))
    square, pgd = examine(rounded, images, only=[], views=["Square_24[queries=300]", "PGD_24"])
    assert square.state == "passed"
    assert "a search of 2000 queries" in square.text
    assert pgd.state == "failed"
    assert "no gradient reaches the pixels" in pgd.text


@pytest.mark.parametrize("options", ["", "[through=JPG]", "[norm=2]"])
@pytest.mark.parametrize("name", ["two", "linear toy"])
def test_planted_example_is_known_to_exist(name, options):
    """It is within epsilon, at whole levels and behind the defences, and the clean image is not of its class."""
    classifier = toys.classifier_of(toys.Linear()) if name == "linear toy" else networks.trained(name)[0]
    clean = torch.from_numpy(toys.random_pixels(4))
    threat = Threat.of(parse(f"PGD_24{options}"))
    planting = Planting.on(classifier, threat, clean, 0, 32)
    heads = [planting.head(image, clean[number - 1]) for number, image in enumerate(clean)]
    network = planting.classifier_of(clean, heads)
    planted = torch.stack([head.planted for head in heads])
    change = (planted.float() - clean).flatten(1)
    assert planted.dtype == torch.uint8
    assert float(change.norm(dim=1).max() if "norm" in options else change.abs().max()) <= 24
    assert network(threat.defended(planted, range(4))).argmax(1).tolist() == [1] * 4
    assert network(threat.defended(clean, range(4))).argmax(1).tolist() == [0] * 4


def test_network_is_left_as_it_was():
    classifier, images = networks.trained("two")
    layers = [*classifier.module.modules()]
    before = {name: value.clone() for name, value in classifier.module.state_dict().items()}
    planted_check("PGD_24").run(Subject(classifier, images, count=24))
    assert all(not layer._forward_hooks and not layer._forward_pre_hooks for layer in layers)
    assert all(torch.equal(value, before[name]) for name, value in classifier.module.state_dict().items())


def test_attacks_of_views_are_each_tested_once():
    views = map(
        parse,
        [
            "x",
            "JPG(PGD_8)",
            "PGD_8[draws=2,label=true]",
            "Worst(PGD_8; JPG(APGD_4))",
            "Noise_2(JPG(Adv_1[through=JPG+Noise_2]))",
        ],
    )
    assert list(map(str, attacks_in(views))) == [
        "PGD_8",
        "APGD_4",
        "Noise_2(JPG(Adv_1[through=JPG+Noise_2]))",
    ]


def test_check_is_found_by_its_name():
    assert (
        find_check("attack_finds_the_planted_example[PGD_8]").name
        == "attack_finds_the_planted_example[PGD_8]"
    )
    with pytest.raises(RobustcheckError, match=r"attack_finds_the_planted_example\[PGD_8\]"):
        find_check("attack_finds_the_planted_example")
    with pytest.raises(RobustcheckError, match="unknown step"):
        find_check("attack_finds_the_planted_example[PG_8]")


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.RECIPES)
def test_default_attack_finds_what_is_planted_on_any_network(name):
    (result,) = examine(*networks.trained(name), only=[], views=["PGD_8"])
    assert result.state in {"passed", "skipped"}, result
