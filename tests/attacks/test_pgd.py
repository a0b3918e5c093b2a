from itertools import pairwise

import pytest
import torch

from robustcheck import RobustcheckError, jpeg
from robustcheck.attacks import apgd, fgs, pgd
from robustcheck.attacks.losses import LOSSES
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


class Times(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, logits):
        return logits * self.factor


@pytest.fixture(scope="module")
def bent():
    return Classifier(Bent(), mean=(0.5,) * 3, std=(0.25,) * 3, input_size=16, device="cpu", name="bent")


def loss(classifier, found, labels):
    return torch.nn.functional.cross_entropy(classifier(found), labels, reduction="none")


def test_one_step_of_epsilon_from_the_image_itself_is_fgs(bent):
    clean = images()
    assert torch.equal(
        pgd(bent, clean, epsilon=4, steps=1, step=4, start="zero", loss="log_odds"),
        fgs(bent, clean, epsilon=4),
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
    options = {"epsilon": 16, "steps": 1, "step": 0.5, "loss": "log_odds"}
    several = pgd(bent, clean, restarts=6, seed=3, **options)
    alone = [pgd(bent, clean, seed=3, **options), pgd(bent, clean, seed=4, **options)]
    first, other = (
        (rank(bent, several, labels) >= rank(bent, found, labels)).double().mean() for found in alone
    )
    assert first == 1  # the first restart is the one alone
    assert other > 0.5


def rank(classifier, found, labels):
    """Success first, then loss."""
    return (classifier(found).argmax(1) != labels) * 1000 + loss(classifier, found, labels)


@pytest.mark.parametrize("attack", [pgd, apgd])
@pytest.mark.parametrize("name", ["scaled_log_odds", "margin", "log_odds", "dlr"])
def test_more_steps_are_never_the_weaker_where_steps_are_the_same(bent, attack, name):
    """Since of all steps the best one is kept: with wild steps the last is often worse than one before."""
    clean, labels = images(12), bent(images(12)).argmax(1)
    options = {"step": 9} if attack is pgd else {}
    ranks = [
        LOSSES[name](labels, bent(attack(bent, clean, epsilon=4, steps=steps, loss=name, **options)))
        for steps in ((2, 3, 4, 8) if attack is pgd else (8, 60))
    ]
    for fewer, more in pairwise(ranks):
        if attack is pgd:
            assert (more >= fewer - 1e-4).all()
        assert more.mean() >= fewer.mean() - 1e-4
    assert ranks[-1].mean() > ranks[0].mean()


def test_best_step_is_best_as_an_image_file_holds_it():
    """A network that sees whole levels alone, of which the attack passes the best on its way."""

    class Peak(torch.nn.Module):
        def forward(self, batch):
            level = batch.flatten(1).mean(1) * 255
            # Class 1 is nearest at level 103, where the gradient carries on upwards.
            return torch.stack(
                [torch.zeros_like(level), 5 - (level - 103).abs().round() + level * 1e-3], dim=1
            )

    peak = Classifier(Peak(), mean=(0,) * 3, std=(1,) * 3, input_size=16, device="cpu")
    clean = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8)
    found = pgd(
        peak, clean, epsilon=8, steps=8, step=1, start="zero", labels=torch.tensor([0]), loss="margin"
    )
    assert (found == 103).all()


def test_against_what_is_random_fresh_draws_decide():
    """A defence that helps the attacker once, by chance: the luckiest draw of the way does not win."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([torch.zeros(768), torch.ones(768) / 768]))
    plain = Classifier(net, mean=(0,) * 3, std=(1,) * 3, input_size=16, device="cpu")
    clean, passes = torch.full((1, 3, 16, 16), 100, dtype=torch.uint8), []

    def lucky(pixels):
        passes.append(len(pixels))
        return pixels + (100.0 if len(passes) == 3 else 0.0)  # at the second step

    options = {
        "epsilon": 8,
        "steps": 6,
        "step": 1,
        "start": "zero",
        "labels": torch.tensor([0]),
        "loss": "margin",
    }
    assert (pgd(plain, clean, defence=lucky, **options) == 106).all()


def test_scale_of_large_logits_does_not_matter_by_default():
    """Times 30 log-odds see the nearest class alone; scaled down, the same attack is found at every large scale."""

    def scaled(factor):
        net = torch.nn.Sequential(Bent(), Times(factor))
        return Classifier(net, mean=(0.5,) * 3, std=(0.25,) * 3, input_size=16, device="cpu")

    clean, labels = images(6), scaled(1)(images(6)).argmax(1)
    options = {"epsilon": 8, "steps": 4, "labels": labels}
    by_scale = [pgd(scaled(factor), clean, **options) for factor in (2**9, 2**12)]
    assert torch.equal(*by_scale)
    small = scaled(1)
    assert torch.equal(pgd(small, clean, **options), pgd(small, clean, loss="log_odds", **options))


@pytest.mark.parametrize("attack", [pgd, apgd])
def test_two_classes_have_a_margin_in_place_of_dlr(attack):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2))
    two = Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="cpu")
    found = [attack(two, images(), epsilon=4, steps=4, loss=name) for name in ("dlr", "margin")]
    assert torch.equal(*found)


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


def test_place_in_the_batch_does_not_matter(bent):
    clean = images(9)
    whole = pgd(bent, clean, epsilon=8, steps=3, restarts=2)
    assert torch.equal(whole[5:], pgd(bent, clean[5:], epsilon=8, steps=3, restarts=2))
    assert torch.equal(whole.flip(0), pgd(bent, clean.flip(0), epsilon=8, steps=3, restarts=2))


def test_other_options_and_epsilons_start_from_the_same_place(bent):
    """So that views of a sweep differ by what was swept, and more restarts are never weaker than fewer."""
    clean = images(3)
    # A step too short to leave the pixel level of the start.
    starts = [pgd(bent, clean, epsilon=8, steps=steps, step=0.001) for steps in (1, 2)]
    assert (starts[0] != starts[1]).double().mean() < 0.01


def test_batches_do_not_matter(bent):
    clean = images(7)
    whole = pgd(bent, clean, epsilon=8, steps=3, restarts=2, seed=5)
    assert torch.equal(whole, pgd(bent, clean, epsilon=8, steps=3, restarts=2, seed=5, batch_size=3))
    assert not torch.equal(whole, pgd(bent, clean, epsilon=8, steps=3, restarts=2, seed=6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be an integer from 1 to 10000, got 0"),
        ({"steps": 2.5}, "steps must be an integer .* got 2.5"),
        ({"steps": torch.tensor(3)}, r"steps must be an integer .* got tensor\(3\)"),
        ({"restarts": 1.5}, "restarts must be an integer .* got 1.5"),
        ({"step": 0}, "step must be a number from .* got 0"),
        ({"step": float("inf")}, "step must be a number from .* got inf"),
        ({"step": float("nan")}, "step must be a number from .* got nan"),
        ({"momentum": 2}, "momentum must be a number from 0 to 1, got 2"),
        ({"start": "centre"}, "start must be one of random, zero, got centre"),
        ({"seed": None}, "seed must be an integer, got None"),
        ({"seed": 1.0}, "seed must be an integer, got 1.0"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"batch_size": None}, "batch_size must be an integer >= 1, got None"),
        ({"defence": "JPG"}, "defence must be a function .* got 'JPG'"),
        ({"start": "zero", "restarts": 2}, "random start"),
        ({"epsilon": 0.5}, "must be an integer number of pixel levels"),
        ({"labels": torch.zeros(6).long(), "targets": torch.zeros(6).long()}, "not both"),
        ({"targets": torch.full((6,), 9)}, "targets must be classes from 0 to 4, got 9"),
    ],
)
def test_options_that_make_no_sense_say_so(bent, options, message):
    with pytest.raises(RobustcheckError, match=message):
        pgd(bent, images(), **{"epsilon": 8, **options})
