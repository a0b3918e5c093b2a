import pytest
import torch

from robustcheck import RobustcheckError, evaluate
from robustcheck.attacks import apgd, pgd
from robustcheck.attacks.apgd import checkpoints
from tests import toys


@pytest.fixture(scope="module")
def bent():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(392, 5)
    )
    return toys.classifier_of(net, std=(0.1,) * 3)


@pytest.fixture(scope="module")
def clean():
    return torch.from_numpy(toys.random_pixels(12))


def test_checkpoints_are_those_of_the_paper():
    # p_j of arXiv 2003.01690, section 3.1, at 100 steps.
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(1) == []


@pytest.mark.parametrize("steps", [1, 2, 7, 30])
def test_result_is_within_epsilon_and_does_not_depend_on_the_batch(bent, clean, steps):
    found = apgd(bent, clean, epsilon=6, steps=steps)
    assert found.dtype == torch.uint8
    assert int((found.int() - clean.int()).abs().max()) <= 6
    assert torch.equal(found[5:], apgd(bent, clean[5:], epsilon=6, steps=steps, batch_size=3))


def test_it_finds_no_less_than_pgd_of_as_many_gradients(bent, clean):
    labels = bent(clean).argmax(1)

    def mean_loss(found):
        return torch.nn.functional.cross_entropy(bent(found), labels).item()

    assert mean_loss(apgd(bent, clean, epsilon=4, steps=30)) >= 0.99 * mean_loss(
        pgd(bent, clean, epsilon=4, steps=30)
    )


def test_steps_halve_until_they_meet_a_peak_inside_the_ball():
    """A loss with its peak off the grid of steps of one size: only steps that become short come to it."""

    class Peak(torch.nn.Module):
        def forward(self, batch):
            away = ((batch.flatten(1) * 255 - 107) ** 2).mean(1)
            return torch.stack([torch.zeros_like(away), 100 - away], dim=1)

    peak = toys.classifier_of(Peak(), mean=(0,) * 3, std=(1,) * 3)
    clean = torch.full((2, 3, 16, 16), 100, dtype=torch.uint8)
    labels = torch.zeros(2, dtype=torch.int64)
    found = apgd(peak, clean, epsilon=20, steps=60, labels=labels, loss="margin")
    assert int((found.int() - 107).abs().max()) <= 1


def test_targets_come_nearer(bent, clean):
    targets = bent(clean).argmin(1)
    found = apgd(bent, clean, epsilon=8, steps=20, targets=targets)
    before, after = (
        torch.nn.functional.cross_entropy(bent(x), targets, reduction="none") for x in (clean, found)
    )
    assert (after < before).all()


def test_view_is_the_function_of_that_name(toy_classifier, toy_images):
    view = "APGD_6[loss=dlr,restarts=2,steps=9]"
    records = evaluate(toy_classifier, toy_images, [view])
    pixels = toys.pixels_of(toy_images)
    found = apgd(toy_classifier, pixels, epsilon=6, steps=9, restarts=2, loss="dlr")
    change = (found.double() - pixels.double()).flatten(1).norm(dim=1)
    assert torch.allclose(torch.from_numpy(records.column("l2", view)).double(), change)


@pytest.mark.parametrize(
    "view", ["APGD_300[norm=2,steps=5]", "APGD_8[steps=5,through=JPG]", "APGD_8[steps=3,target=1]"]
)
def test_other_options_of_attacks_hold_for_it(toy_classifier, toy_images, view):
    records = evaluate(toy_classifier, toy_images, [view], batch_size=5)
    column = "l2" if "norm" in view else "linf"
    assert records.column(column, view).max() <= (300.01 if "norm" in view else 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be an integer from 1 to 10000, got 0"),
        ({"loss": "ce"}, "loss must be one of scaled_log_odds, margin, log_odds, dlr, got ce"),
        ({"epsilon": 0.5}, "must be an integer number of pixel levels"),
    ],
)
def test_options_that_make_no_sense_say_so(bent, clean, options, message):
    with pytest.raises(RobustcheckError, match=message):
        apgd(bent, clean, **{"epsilon": 8, **options})
