import pytest
import torch

from robustcheck import RobustcheckError, evaluate
from robustcheck.attacks import pgd, square
from robustcheck.attacks.square import side_of
from robustcheck.notation import parse
from robustcheck.transforms.noise import random_signs
from tests import toys


class Cut(torch.nn.Module):
    """A network that cuts the gradient."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, batch):
        return self.net(batch.detach())


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(392, 5)
    )


@pytest.fixture(scope="module")
def cut(net):
    return toys.classifier_of(Cut(net), std=(0.1,) * 3)


@pytest.fixture(scope="module")
def clean():
    return torch.from_numpy(toys.random_pixels(8))


def margin(classifier, found, labels):
    logits = classifier(found)
    own = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -torch.inf).amax(1) - own


def test_it_attacks_what_has_no_gradient(cut, clean):
    labels = cut(clean).argmax(1)
    with pytest.raises(RobustcheckError, match="no gradient"):
        pgd(cut, clean, epsilon=8)
    found = square(cut, clean, epsilon=8, queries=100)
    noise = random_signs(clean, epsilon=8, seeds=range(8))
    assert int((found.int() - clean.int()).abs().max()) <= 8
    assert (margin(cut, found, labels) > margin(cut, noise, labels) + 0.1).all()


def test_every_query_counts_once_and_each_may_only_raise_the_loss(net, clean):
    seen = []

    class Counting(Cut):
        def forward(self, batch):
            seen.append(len(batch))
            return super().forward(batch)

    counted = toys.classifier_of(Counting(net), std=(0.1,) * 3)
    labels = counted(clean).argmax(1)
    seen.clear()
    found = square(counted, clean, epsilon=8, queries=25, labels=labels)
    assert sum(seen) - sum(size for size in seen if size == 1) == 25 * len(clean)
    first = square(counted, clean, epsilon=8, queries=1, labels=labels)
    assert (margin(counted, found, labels) >= margin(counted, first, labels)).all()


def test_first_query_is_of_stripes(cut, clean):
    grey = torch.full_like(clean, 128)
    change = square(cut, grey, epsilon=3, queries=1).int() - 128
    assert set(change.unique().tolist()) == {-3, 3}
    assert (change == change[:, :, :1]).all()
    assert (change != change[:, :, :, :1]).any()


def test_place_in_the_batch_does_not_matter(cut, clean):
    whole = square(cut, clean, epsilon=8, queries=10)
    assert torch.equal(whole[5:], square(cut, clean[5:], epsilon=8, queries=10, batch_size=2))
    assert not torch.equal(whole, square(cut, clean, epsilon=8, queries=10, seed=1))


def test_targets_come_nearer(cut, clean):
    targets = cut(clean).argmin(1)
    found = square(cut, clean, epsilon=8, queries=60, targets=targets)
    assert (margin(cut, found, targets) < margin(cut, clean, targets)).double().mean() > 0.8


def test_a_lucky_draw_of_a_random_defence_does_not_stay(clean):
    """A defence that helps a single draw by much: what it helped is compared again with each later one."""
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2, bias=False))
    with torch.no_grad():
        flat[1].weight.copy_(torch.stack([torch.zeros(768), torch.ones(768) / 768]))
    plain, grey, calls = toys.classifier_of(flat), torch.full_like(clean, 100), []

    def lucky(pixels):
        calls.append(None)
        return pixels + (50.0 if len(calls) <= 8 else 0.0)  # all draws of the first query

    options = {"epsilon": 8, "queries": 40, "labels": torch.zeros(8, dtype=torch.int64)}
    found = square(plain, grey, defence=lucky, **options)
    assert torch.equal(found, square(plain, grey, **options))


def test_view_is_the_function_of_that_name(toy_classifier, toy_images):
    view = "Square_6[queries=7,share=0.3]"
    records = evaluate(toy_classifier, toy_images, [view], batch_size=5)
    pixels = toys.pixels_of(toy_images)
    found = square(toy_classifier, pixels, epsilon=6, queries=7, share=0.3)
    change = (found.double() - pixels.double()).flatten(1).norm(dim=1)
    assert torch.allclose(torch.from_numpy(records.column("l2", view)).double(), change)


def test_squares_become_smaller_and_stay_in_the_image():
    sides = [side_of(number, 500, 0.8, (32, 20)) for number in range(500)]
    assert sides == sorted(sides, reverse=True)
    assert (max(sides), min(sides)) == (20, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 0}, "queries must be an integer from 1 to 1000000, got 0"),
        ({"share": 2}, "share must be a number from 0.001 to 1, got 2"),
        ({"epsilon": 0.5}, "must be an integer number of pixel levels"),
    ],
)
def test_options_that_make_no_sense_say_so(cut, clean, options, message):
    with pytest.raises(RobustcheckError, match=message):
        square(cut, clean, **{"epsilon": 8, **options})


def test_other_norms_are_refused():
    with pytest.raises(RobustcheckError, match="norm must be one of inf, got 2"):
        parse("Square_8[norm=2]")
