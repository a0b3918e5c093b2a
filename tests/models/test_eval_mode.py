"""The user's network is as it was after everything that is done with it."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from robustcheck import ImageSet, RobustnessWarning, attacks, evaluate
from robustcheck.models import Classifier
from tests.toys import random_pixels

IMAGES = torch.from_numpy(random_pixels(4))
WAYS = {
    "evaluate": lambda c: evaluate(c, ImageSet.from_arrays(IMAGES), ["x", "Adv_1", "PGD_2[steps=2]"]),
    "fgs": lambda c: attacks.fgs(c, IMAGES, epsilon=1),
    "pgd": lambda c: attacks.pgd(c, IMAGES, epsilon=2, steps=2),
    "call": lambda c: c(IMAGES),
    "logits": lambda c: c.logits(IMAGES.float()),
    "folded": lambda c: c.folded(),
}


def net_of(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return net.append(nn.Linear(8, 5))


def classifier_of(net):
    return Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="cpu", name="net")


def state_of(net):
    """All that a user can see of a network: values, strides, addresses, modes, gradients and hooks."""
    return (
        {key: (value.clone(), value.stride(), value.data_ptr()) for key, value in net.state_dict().items()},
        [
            (layer.training, len(layer._forward_hooks), len(layer._forward_pre_hooks))
            for layer in net.modules()
        ],
        [(parameter.requires_grad, parameter.grad) for parameter in net.parameters()],
    )


def assert_same_state(one, other):
    assert one[1:] == other[1:]
    for key, (value, stride, address) in one[0].items():
        assert value.equal(other[0][key][0]), key
        assert (stride, address) == other[0][key][1:], key


@pytest.mark.filterwarnings("ignore:net is in train mode")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("mode", ["eval", "train", "mixed"])
def test_nothing_of_the_network_changes(way, mode):
    net = net_of().eval()
    if mode == "train":
        net.train()
    elif mode == "mixed":
        net[1].train()
    net[0].weight.requires_grad_(False)
    before, drawn = state_of(net), torch.get_rng_state()
    way(classifier_of(net))
    assert_same_state(before, state_of(net))
    assert drawn.equal(torch.get_rng_state())


@pytest.mark.parametrize("name", ["evaluate", "fgs", "pgd", "call"])
def test_a_network_in_train_mode_is_evaluated_in_eval_mode_and_that_is_said_once(name):
    net = net_of().eval()
    classifier = classifier_of(net)
    expected = WAYS[name](classifier)
    net.train()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = WAYS[name](classifier)
    assert [each.category for each in said] == [RobustnessWarning]
    assert "net is in train mode, which changes BatchNorm2d, Dropout" in str(said[0].message)
    if name == "evaluate":
        for view in expected.views:
            np.testing.assert_array_equal(expected.column("p_top", view), found.column("p_top", view))
    else:
        assert found.equal(expected)


def test_a_warning_that_is_an_error_leaves_the_network_as_it_was_too():
    net = net_of()
    before = state_of(net)
    for _ in range(2):
        with pytest.raises(RobustnessWarning, match="in train mode"):
            classifier_of(net)(IMAGES)
        assert_same_state(before, state_of(net))


def test_a_network_whose_own_train_returns_nothing_or_keeps_a_layer_is_put_back():
    class KeepsNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.asked = net_of(), []

        def train(self, mode=True):
            super().train(mode)
            self.net[1].eval()
            self.asked.append(mode)

        def forward(self, images):
            return self.net(images)

    net = KeepsNorm()
    net.train()
    before = state_of(net)
    with pytest.warns(RobustnessWarning, match="which changes Dropout:"):
        evaluate(classifier_of(net), ImageSet.from_arrays(IMAGES), ["x", "Adv_1"])
    assert_same_state(before, state_of(net))


def test_layers_that_eval_leaves_in_train_mode_on_purpose_stay_there():
    class KeepsDropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net_of()

        def train(self, mode=True):
            super().train(mode)
            self.net[3].train()
            return self

        def forward(self, images):
            return self.net(images)

    classifier = classifier_of(KeepsDropping().eval())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not classifier(IMAGES).equal(classifier(IMAGES))


def test_an_error_in_the_middle_leaves_the_network_as_it_was():
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net_of()

        def forward(self, images):
            if len(images) == 4:
                raise ValueError("four is too many")
            return self.net(images)

    net = Breaks().eval()
    before = state_of(net)
    with pytest.raises(ValueError, match="four is too many"):
        evaluate(classifier_of(net), ImageSet.from_arrays(IMAGES), ["x"])
    assert_same_state(before, state_of(net))


@pytest.mark.parametrize("name", ["fgs", "pgd"])
def test_attacks_do_not_inherit_a_surrounding_autocast(name):
    net = net_of().eval()
    expected = WAYS[name](classifier_of(net))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert WAYS[name](classifier_of(net)).equal(expected)


def test_a_copy_goes_to_another_device_and_the_network_stays(monkeypatch):
    """The other device is "meta", where nothing is computed: what counts is which network goes there."""
    net = net_of().eval()
    on_host = classifier_of(net)
    assert on_host.module is net
    assert on_host.to("cpu").module is net
    monkeypatch.setattr("robustcheck.models.user_network.resolve_device", torch.device)
    moved = on_host.to("meta")
    assert moved.module is not net
    assert {parameter.device.type for parameter in moved.module.parameters()} == {"meta"}
    assert {parameter.device.type for parameter in net.parameters()} == {"cpu"}


def test_a_network_that_can_not_be_copied_says_to_move_it(monkeypatch):
    class NoCopy(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net_of()

        def __deepcopy__(self, _memo):
            raise TypeError("cannot pickle a lock")

    monkeypatch.setattr("robustcheck.models.user_network.resolve_device", torch.device)
    with pytest.raises(
        ValueError, match=r"no copy .* cannot pickle a lock.*: move it yourself, net.to\(\"meta\"\)"
    ):
        Classifier(NoCopy(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="meta")


def test_a_network_can_be_trained_on_after_an_evaluation():
    net = net_of()
    classifier = classifier_of(net)
    with pytest.warns(RobustnessWarning, match="in train mode"):
        evaluate(classifier, ImageSet.from_arrays(IMAGES), ["x", "Adv_1"])
    before = copy.deepcopy(net.state_dict())
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    nn.functional.cross_entropy(net(IMAGES.float() / 255), torch.tensor([0, 1, 2, 3])).backward()
    optimiser.step()
    assert not net[0].weight.equal(before["0.weight"])
    assert not net[1].running_mean.equal(before["1.running_mean"])


class Counts(nn.Module):
    """Writes to its buffers in eval mode, in each of the ways there are."""

    def __init__(self):
        super().__init__()
        self.net = net_of()
        for name in ("in_place", "assigned", "data", "grown"):
            self.register_buffer(name, torch.zeros(2))

    def forward(self, images):
        self.in_place += 1
        self.assigned = self.assigned + 1
        self.data.data.add_(1)
        self.grown = torch.cat([self.grown, self.grown])
        return self.net(images) + self.in_place.sum() * 0


@pytest.mark.parametrize("way", ["evaluate", "fgs", "pgd", "folded"])
def test_buffers_that_its_own_forward_pass_writes_are_put_back(way):
    net = Counts().eval()
    before, prints = state_of(net), classifier_of(net).fingerprint
    WAYS[way](classifier_of(net))
    assert_same_state(before, state_of(net))
    assert classifier_of(net).fingerprint == prints
