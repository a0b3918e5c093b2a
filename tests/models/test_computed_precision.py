"""Reports say in which numbers a network computed, not in which it was asked to."""

import numpy as np
import pytest
import torch
from torch import nn

from robustcheck import Classifier, ImageSet, evaluate
from tests.toys import random_pixels

IMAGES = ImageSet.from_arrays(random_pixels(4))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, images):
        return self.head(self.conv(images).relu().mean((2, 3)))


class OwnAutocast(Net):
    def forward(self, images):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(images).float()


class HalfHead(Net):
    def __init__(self):
        super().__init__()
        self.head.bfloat16()

    def forward(self, images):
        return self.head(self.conv(images).relu().mean((2, 3)).bfloat16()).float()


class NoProducts(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float16))

    def forward(self, images):
        return images.mean((2, 3)) * self.scale


CASES = {
    "fp32": (Net, "fp32"),
    "bf16 weights": (lambda: Net().bfloat16(), "bf16 (the network's own)"),
    "fp16 weights": (lambda: Net().half(), "fp16 (the network's own)"),
    "fp64 weights": (lambda: Net().double(), "fp64 (the network's own)"),
    "its own autocast": (OwnAutocast, "bf16 (the network's own)"),
    "a head in bf16": (HalfHead, "bf16 and fp32 (the network's own)"),
    "compiled": (lambda: torch.compile(HalfHead(), backend="eager"), "bf16 and fp32 (the network's own)"),
    "no products": (NoProducts, "fp16 (the network's own)"),
}


def classifier_of(net):
    return Classifier(net.eval(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="cpu")


@pytest.mark.filterwarnings("ignore")  # half precision attacks toys badly
@pytest.mark.parametrize(("make", "expected"), CASES.values(), ids=CASES)
def test_the_precision_in_reports_is_what_the_network_computed_in(make, expected):
    assert evaluate(classifier_of(make()), IMAGES, ["x", "Adv_1"]).provenance.precision == expected


@pytest.mark.filterwarnings("ignore:this CPU has no")
def test_an_option_for_classification_names_what_attacks_are_made_in():
    records = evaluate(classifier_of(Net().half()), IMAGES, ["x"], precision="bf16")
    assert records.provenance.precision == "bf16 (attacks in fp16)"


def test_a_surrounding_autocast_changes_neither_numbers_nor_report():
    classifier = classifier_of(Net())
    expected = evaluate(classifier, IMAGES, ["x", "Adv_1"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = evaluate(classifier, IMAGES, ["x", "Adv_1"])
    assert found.provenance == expected.provenance
    np.testing.assert_array_equal(found.column("p_top", "Adv_1"), expected.column("p_top", "Adv_1"))


def test_weights_that_become_half_precision_are_noticed():
    net = Net()
    classifier = classifier_of(net)
    assert evaluate(classifier, IMAGES, ["x"]).provenance.precision == "fp32"
    net.half()
    assert evaluate(classifier, IMAGES, ["x"]).provenance.precision == "fp16 (the network's own)"


class Extra(Net):
    def __init__(self, extra):
        super().__init__()
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


def test_the_fingerprint_covers_all_of_the_state_dict():
    one, same, other = (classifier_of(Extra({"steps": [steps]})).fingerprint for steps in (1, 1, 2))
    assert one == same != other


def test_the_fingerprint_is_of_the_weights_now_and_leaves_out_layers_that_do_nothing():
    net = nn.Sequential(Net())
    classifier = classifier_of(net)
    before = classifier.fingerprint
    net[0].extra = nn.Identity()
    assert classifier.fingerprint == before
    with torch.no_grad():
        net[0].head.bias.add_(1)
    assert classifier.fingerprint != before
