"""Folding changes no number but by rounding, and is left alone where it would."""

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from robustcheck import ImageSet, evaluate
from robustcheck.models import Classifier
from robustcheck.models.equivalence import MAX_LOGIT_CHANGE
from tests.toys import random_pixels

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def logits(network):
    with torch.no_grad():
        return network(IMAGES)


def classifier_of(net):
    return Classifier(net, mean=(0.5,) * 3, std=(0.5,) * 3, input_size=32, device="cpu", name="net")


def fold(net):
    """The network that runs once the classifier was asked to fold."""
    return classifier_of(net).folded().network


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
    folded = fold(net)
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
    assert fold(net) is net


def test_a_layer_in_train_mode_is_left_alone():
    net = Net().eval()
    net.norm.train()
    assert fold(net) is net


def test_layers_that_are_used_twice_are_left_alone():
    class Twice(Net):
        def forward(self, images):
            return super().forward(images) + super().forward(images.flip(3))

    net = Twice().eval()
    assert fold(net) is net


def test_a_network_that_draws_at_random_is_left_alone():
    class Noisy(Net):
        def forward(self, images):
            return super().forward(images + torch.rand_like(images))

    net = Noisy().eval()
    assert fold(net) is net


@pytest.mark.parametrize("layer", ["hooked", "parametrised"])
def test_layers_that_do_more_than_they_say_are_left_alone(layer):
    net = Net().eval()
    if layer == "hooked":
        net.conv.register_forward_hook(lambda _layer, _given, output: output * 2)
    else:
        weight_norm(net.conv)
    assert fold(net) is net


def test_a_layer_under_two_names_is_folded_under_both():
    net = Net().eval()
    net.alias = net.norm
    folded = fold(net)
    assert norms_in(folded) == 0
    assert folded.alias is folded.norm


@pytest.mark.parametrize(("name", "left"), [("resnet18", 0), ("mobilenet_v3_small", 0), ("densenet121", 62)])
def test_torchvision_s_networks(name, left):
    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None).eval()
    folded = fold(net)
    assert norms_in(folded) == left
    change = (logits(folded) - logits(net)).abs().max() / logits(net).abs().max()
    assert change <= MAX_LOGIT_CHANGE


def test_the_sample_s_activations_stay_where_they_were(sample_classifier, sample_images):
    """timm's batch normalisation has an activation in it."""
    images = next(sample_images.batches(4)).pixels
    folded = sample_classifier.folded()
    assert norms_in(folded.network) == 0
    assert norms_in(sample_classifier.module) == 49
    torch.testing.assert_close(folded(images), sample_classifier(images), rtol=1e-4, atol=1e-3)


def test_a_folded_classifier_is_still_the_one_that_it_was():
    net = Net().eval()
    classifier = classifier_of(net)
    folded = classifier.folded()
    assert classifier.network is classifier.module is not folded.network
    assert folded.fingerprint == classifier.fingerprint
    assert folded.module is classifier.module is net
    plain = classifier_of(nn.Flatten())
    assert plain.folded() is plain


# Networks that can't be folded run as they are, and an evaluation says the same as plain torch.


class HookWrites(Net):
    """A layer's hook writes to the network, and a folded copy would read what an earlier image left there."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()
        self.relu.register_forward_hook(self.keep)

    def keep(self, _module, _given, output):
        self.feature = output.mean((2, 3))

    def forward(self, images):
        hidden = self.relu(self.norm(self.conv(images)))
        return self.head(hidden.amax((2, 3))) + self.head(self.feature)


class ChildWrites(Net):
    """The same, by a child that knows its parent."""

    def __init__(self):
        super().__init__()
        self.norm.register_forward_pre_hook(self.note)

    def note(self, _module, given):
        self.seen = given[0].mean((2, 3))

    def forward(self, images):
        return super().forward(images) + self.head(self.seen)


class ReadsNorm(Net):
    def forward(self, images):
        return self.head(self.norm(self.conv(images)).mul(self.norm.weight[0]).relu().mean((2, 3)))


class PreActivation(Net):
    """The convolution's output is read twice; the norm is so nearly the identity that logits hardly change."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(6)
        self.norm.weight.data.fill_(1.0015)

    def forward(self, images):
        hidden = self.conv(images)
        return self.head((hidden + self.norm(hidden).relu()).mean((2, 3)))


class BatchNormAct2d(nn.BatchNorm2d):
    """timm's own, as it was before 0.6: an activation, and no drop."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, images):
        return self.act(super().forward(images))


class Vendored(Net):
    def __init__(self):
        super().__init__()
        self.norm = norm(6, BatchNormAct2d)


class Parametrised(Net):
    """copy.copy refuses such modules."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))
        nn.utils.parametrize.register_parametrization(self, "scale", nn.Softplus(), unsafe=True)


class OwnNew(Net):
    def __new__(cls, _size):
        return super().__new__(cls)

    def __init__(self, _size):
        super().__init__()


class OwnState(Net):
    def __init__(self):
        super().__init__()
        self.memory = {}

    def __getstate__(self):
        return {key: value for key, value in self.__dict__.items() if key != "memory"}

    def forward(self, images):
        self.memory["count"] = len(images)
        return super().forward(images)


class PartlyInference(Net):
    def forward(self, images):
        with torch.inference_mode():
            fixed = super().forward(images)
        return fixed + images.mean((2, 3)) @ torch.ones(3, 5)


class Delegating(nn.Module):
    """A wrapper whose attributes are those of what it wraps, as torch.compile's: setting one on a copy sets the original's."""

    def __init__(self):
        super().__init__()
        self.net = Net()

    def __setattr__(self, name, value):
        inside = self.__dict__.get("_modules", {}).get("net")
        super().__setattr__(name, value) if inside is None else setattr(inside, name, value)

    def forward(self, images):
        return self.net(images)


class CopiesAsItself(Net):
    """copy.copy returns the network itself."""

    def __copy__(self):
        return self


ODD = {
    "compiled": lambda: torch.compile(Net(), backend="eager"),
    "delegating": Delegating,
    "copies as itself": CopiesAsItself,
    "a hook that writes": HookWrites,
    "a hook on the norm": ChildWrites,
    "reads the norm": ReadsNorm,
    "pre-activation": PreActivation,
    "vendored": Vendored,
    "parametrised": Parametrised,
    "own __new__": lambda: OwnNew(1),
    "own state": OwnState,
    "partly in inference mode": PartlyInference,
}


@pytest.mark.filterwarnings(
    "ignore:.*of the gradient of an image is exactly zero"
)  # partly in inference mode
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # of torch.compile itself
@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_networks_that_can_not_be_folded_run_as_they_are(make):
    net = make().eval()
    levels = [np.full((3, 32, 32), level, np.uint8) for level in (0, 60, 120, 200, 255)]
    pixels = np.stack([*levels, *random_pixels(3, size=32)])
    images, classifier = ImageSet.from_arrays(pixels), classifier_of(net)
    assert not classifier.folded().is_folded
    found = evaluate(classifier, images, ["x", "Adv_1"], batch_size=3).column("prediction", "x")
    plain = make().eval()
    plain.load_state_dict(net.state_dict())
    with torch.no_grad():
        expected = plain((torch.from_numpy(pixels).float() / 255 - 0.5) / 0.5).argmax(1)
    assert found.astype(int).tolist() == expected.tolist()


def test_folding_is_decided_on_two_batches_of_the_run_s_own_images():
    """On noise the two ways are the same; on dark images alone a copy would read what is not there."""

    class InTheDark(Net):
        def forward(self, images):
            hidden = self.conv(images)
            leak = hidden.mean() if images.mean() < -0.5 else 0
            return self.head(self.norm(hidden).relu().mean((2, 3))) + leak

    classifier = classifier_of(InTheDark().eval())
    assert classifier.folded().is_folded
    dark = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    light = torch.full_like(dark, 200)
    assert not classifier.folded(lambda: [light, dark]).is_folded
    columns = {}
    for how in ("none", "fold"):
        images = ImageSet.from_arrays(torch.cat([light, light, dark]))
        columns[how] = evaluate(classifier, images, ["x"], optimize=how).column("p_top", "x")
    np.testing.assert_allclose(columns["none"], columns["fold"], atol=1e-6)


def test_folding_works_where_the_caller_is_in_inference_mode():
    net = Net().eval()
    with torch.inference_mode():
        records = evaluate(
            classifier_of(net), ImageSet.from_arrays(random_pixels(4, size=32)), ["x", "Adv_1"]
        )
    assert len(records) == 4


def test_folding_takes_no_image_that_can_not_be_read():
    def broken():
        raise OSError("no such image")

    classifier = classifier_of(Net().eval())
    assert classifier.folded(broken) is classifier
