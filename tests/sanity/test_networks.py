"""No check fails on small networks that are sound, nor on those that are merely bad."""

import pytest
import torch

import robustcheck
from robustcheck import ImageSet, attacks
from robustcheck.notation import temporary_steps
from robustcheck.sanity.registry import OF_THE_ATTACK, examine
from tests import toys
from tests.sanity import networks

pytestmark = [
    pytest.mark.slow,
    # A network of 900 weights with dead units: every run warns of it, and the check finds it sound.
    pytest.mark.filterwarnings("ignore:narrow. ..% of the gradient of an image is exactly zero"),
]


@pytest.mark.parametrize("name", networks.RECIPES)
def test_no_check_fails_on_a_network_that_is_sound_or_merely_bad(name):
    results = examine(*networks.trained(name))
    assert [result for result in results if result.state == "failed"] == []
    assert [result.name for result in results if result.state == "skipped"] == [
        "transfer_is_not_stronger_than_white_box"  # no other model is named
    ]


@pytest.fixture
def wrappers():
    """Attacks that a repository registers around this package's own."""
    with temporary_steps():

        @robustcheck.register_attack("Descent")
        def descent(classifier, images, labels, *, epsilon: int):
            return attacks.pgd(classifier, images, epsilon=epsilon, labels=labels, steps=5)

        @robustcheck.register_attack("Sign")
        def sign(classifier, images, labels, *, epsilon: int):
            return attacks.fgs(classifier, images, epsilon=epsilon, labels=labels)

        @robustcheck.register_attack("Zero")
        def zero(classifier, images, labels, *, epsilon: int):
            return sign(classifier, images, labels, epsilon=epsilon) if epsilon else images + 1

        @robustcheck.register_attack("Dice")
        def dice(classifier, images, labels, *, epsilon: int):
            signs = torch.randint(0, 2, images.shape, generator=torch.Generator().manual_seed(5)) * 2 - 1
            return (images.int() + epsilon * signs).clamp(0, 255).to(torch.uint8)

        yield


@pytest.mark.parametrize("name", ["plain", "robust", "two", "narrow"])
@pytest.mark.parametrize("attack", ["Descent", "Sign"])
def test_registered_wrapper_of_fgs_or_pgd_is_sound(wrappers, name, attack):
    results = {
        result.name: result for result in examine(*networks.trained(name), attack=attack, only=OF_THE_ATTACK)
    }
    zero = results.pop("epsilon_zero_changes_nothing")
    assert zero.state == "skipped"
    assert f"{attack} takes no epsilon of 0 (epsilon must be an integer" in zero.text
    assert {result.state for result in results.values()} == {"passed"}, results


def test_attack_that_takes_epsilon_0_and_changes_images_fails(wrappers):
    (zero,) = examine(*networks.trained("plain"), attack="Zero", only=["epsilon_zero_changes_nothing"])
    assert zero.state == "failed"


@pytest.mark.parametrize("name", networks.SOUND)
def test_attack_that_is_no_better_than_random_signs_is_told_on_every_sound_network(wrappers, name):
    (result,) = examine(*networks.trained(name), attack="Dice", only=["attack_beats_random_signs"])
    assert result.state == "failed"
    assert "the loss is larger on" in result.text


@pytest.mark.parametrize(("count", "state"), [(7, "skipped"), (8, "passed")])
def test_random_signs_take_eight_images_to_tell(toy_classifier, toy_images, count, state):
    few = ImageSet.from_arrays(toys.pixels_of(toy_images)[:count])
    (result,) = examine(toy_classifier, few, only=["attack_beats_random_signs"])
    assert result.state == state
