"""Folding changes no number but by rounding, and is left alone where it would."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from robustcheck.models import Classifier
from robustcheck.models.batchnorm_fold import fold_batch_norms

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def logits(network):
    with torch.no_grad():
        return network(IMAGES)


def norm(channels, kind=nn.BatchNorm2d):
    """A batch normalisation whose statistics and weights all matter."""
    layer = kind(channels)
    generator = torch.Generator().manual_seed(channels)
    for value in (layer.running_mean, layer.weight.data, layer.bias.data):
        value.copy_(torch.randn(channels, generator=generator))
    layer.running_var.copy_(torch.rand(channels, generator=generator) + 0.5)
    return layer


class Net(nn.Module):
    def __init__(self, between=None, bias=False, **how):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 6, 3, bias=bias, **how), norm(6), nn.Linear(6, 5)
        self.between = between

    def forward(self, images):
        hidden = self.conv(images)
        if self.between == "relu":
            hidden = hidden.relu()
        hidden = self.norm(hidden) + (hidden if self.between == "residual" else 0)
        return self.head(hidden.relu().mean((2, 3)))


def norms_in(network):
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


@pytest.mark.parametrize(
    "how", [{}, {"bias": True}, {"groups": 3}, {"stride": 2, "padding": 1}, {"dilation": 2}]
)
def test_a_folded_network_gives_the_same_logits_and_gradients(how):
    net = Net(**how).eval()
    before = copy.deepcopy(net.state_dict())
    folded = fold_batch_norms(net, logits)
    assert (norms_in(net), norms_in(folded)) == (1, 0)
    torch.testing.assert_close(logits(folded), logits(net))
    gradients = []
    for network in (net, folded):
        images = IMAGES.clone().requires_grad_()
        gradients += torch.autograd.grad(network(images).square().sum(), images)
    torch.testing.assert_close(*gradients)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert folded.head is net.head


@pytest.mark.parametrize("between", ["relu", "residual"])
def test_a_convolution_that_is_read_elsewhere_is_left_alone(between):
    net = Net(between).eval()
    assert fold_batch_norms(net, logits) is net


def test_a_layer_in_train_mode_is_left_alone():
    net = Net().eval()
    net.norm.train()
    assert fold_batch_norms(net, logits) is net


def test_layers_that_are_used_twice_are_left_alone():
    class Twice(Net):
        def forward(self, images):
            return super().forward(images) + super().forward(images.flip(3))

    net = Twice().eval()
    assert fold_batch_norms(net, logits) is net


def test_a_network_that_draws_at_random_is_left_alone():
    class Noisy(Net):
        def forward(self, images):
            return super().forward(images + torch.rand_like(images))

    net = Noisy().eval()
    assert fold_batch_norms(net, logits) is net


@pytest.mark.parametrize("layer", ["hooked", "parametrised"])
def test_layers_that_do_more_than_they_say_are_left_alone(layer):
    net = Net().eval()
    if layer == "hooked":
        net.conv.register_forward_hook(lambda _layer, _given, output: output * 2)
    else:
        weight_norm(net.conv)
    assert fold_batch_norms(net, logits) is net


def test_a_layer_under_two_names_is_folded_under_both():
    net = Net().eval()
    net.alias = net.norm
    folded = fold_batch_norms(net, logits)
    assert norms_in(folded) == 0
    assert folded.alias is folded.norm


@pytest.mark.parametrize(("name", "left"), [("resnet18", 0), ("mobilenet_v3_small", 0), ("densenet121", 62)])
def test_torchvision_s_networks(name, left):
    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None).eval()
    folded = fold_batch_norms(net, logits)
    assert norms_in(folded) == left
    torch.testing.assert_close(logits(folded), logits(net), rtol=1e-3, atol=1e-5)


def test_the_sample_s_activations_stay_where_they_were(sample_classifier, sample_images):
    """timm's batch normalisation has an activation in it."""
    images = next(sample_images.batches(4)).pixels
    folded = sample_classifier.folded()
    assert norms_in(folded.network) == 0
    assert norms_in(sample_classifier.module) == 49
    torch.testing.assert_close(folded(images), sample_classifier(images), rtol=1e-4, atol=1e-3)


def test_a_folded_classifier_is_still_the_one_that_it_was():
    net = Net().eval()
    classifier = Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=32, device="cpu")
    folded = classifier.folded()
    assert classifier.network is classifier.module is not folded.network
    assert folded.fingerprint == classifier.fingerprint
    assert folded.module is classifier.module is net
    plain = Classifier(nn.Flatten(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=32, device="cpu")
    assert plain.folded() is plain
