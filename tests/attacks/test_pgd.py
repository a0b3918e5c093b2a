import pytest
import torch

from robustcheck import RobustcheckError, jpeg
from robustcheck.attacks import fgs, pgd
from robustcheck.models import Classifier


def images(count=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)


class Bent(torch.nn.Module):
    """A small network whose gradient turns on the way, so that steps and restarts make a difference."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(392, 5)
        )

    def forward(self, batch):
        return self.net(batch * 6)


@pytest.fixture(scope="module")
def bent():
    return Classifier(Bent(), mean=(0.5,) * 3, std=(0.25,) * 3, input_size=16, device="cpu", name="bent")


def loss(classifier, found, labels):
    return torch.nn.functional.cross_entropy(classifier(found), labels, reduction="none")


def test_one_step_of_epsilon_from_the_image_itself_is_fgs(bent):
    clean = images()
    assert torch.equal(
        pgd(bent, clean, epsilon=4, steps=1, step=4, start="zero"), fgs(bent, clean, epsilon=4)
    )


def test_more_steps_and_more_restarts_climb_higher(bent):
    clean, labels = images(40), bent(images(40)).argmax(1)
    climbed = [
        loss(bent, found, labels).mean().item()
        for found in (
            fgs(bent, clean, epsilon=8),
            pgd(bent, clean, epsilon=8, steps=5),
            pgd(bent, clean, epsilon=8, steps=40),
        )
    ]
    assert climbed == sorted(climbed)
    assert climbed[0] < climbed[-1]


def test_of_restarts_each_image_gets_its_worst(bent):
    clean, labels = images(10), bent(images(10)).argmax(1)
    # Steps too short to come together from where they began.
    several = pgd(bent, clean, epsilon=16, steps=1, step=0.5, restarts=6, seed=3)
    alone = [
        pgd(bent, clean, epsilon=16, steps=1, step=0.5, seed=3),
        pgd(bent, clean, epsilon=16, steps=1, step=0.5, seed=4),
    ]
    losses = loss(bent, several, labels)
    for found in alone:
        assert (losses >= loss(bent, found, labels)).double().mean() > 0.5
    assert (losses >= loss(bent, alone[0], labels)).all()  # the first restart is the one alone


def test_target_comes_nearer(bent):
    clean = images()
    targets = bent(clean).argmin(1)
    found = pgd(bent, clean, epsilon=8, targets=targets)
    assert (loss(bent, found, targets) < loss(bent, clean, targets)).all()


@pytest.mark.slow
def test_through_jpeg_is_stronger_against_jpeg_than_blind(bent):
    clean, labels = images(40), bent(images(40)).argmax(1)

    def recompressed(pixels):
        return jpeg.differentiable(pixels, quality=30)

    blind = pgd(bent, clean, epsilon=8)
    adaptive = pgd(bent, clean, epsilon=8, defence=recompressed)
    after = [loss(bent, jpeg.roundtrip(found, quality=30), labels).mean() for found in (blind, adaptive)]
    assert after[1] > after[0]


def test_batches_do_not_matter(bent):
    clean = images(7)
    whole = pgd(bent, clean, epsilon=8, steps=3, restarts=2, seed=5)
    assert torch.equal(whole, pgd(bent, clean, epsilon=8, steps=3, restarts=2, seed=5, batch_size=3))
    assert not torch.equal(whole, pgd(bent, clean, epsilon=8, steps=3, restarts=2, seed=6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps and restarts must be >= 1"),
        ({"step": 0}, "step > 0"),
        ({"momentum": 2}, "momentum from 0 to 1"),
        ({"start": "centre"}, "unknown start 'centre'"),
        ({"start": "zero", "restarts": 2}, "random start"),
        ({"epsilon": 0.5}, "must be an integer number of pixel levels"),
        ({"labels": torch.zeros(6).long(), "targets": torch.zeros(6).long()}, "not both"),
        ({"targets": torch.full((6,), 9)}, "classes from 0 to 4, got 9"),
    ],
)
def test_options_that_make_no_sense_say_so(bent, options, message):
    with pytest.raises(RobustcheckError, match=message):
        pgd(bent, images(), **{"epsilon": 8, **options})
