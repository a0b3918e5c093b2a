from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings
from collections import namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.transforms import functional

from robustcheck import RobustcheckError, RobustnessWarning
from robustcheck.models import Classifier, Preprocessing

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class Returns(nn.Module):
    """A network that returns what it is told to."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


class Sees(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        self.seen = x
        return self.conv(x).mean(dim=(2, 3))


@given(st.integers(0, 2**32 - 1))
def test_the_network_sees_exactly_what_torchvision_would_show_it(seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 3, 6, 5), dtype=torch.uint8, generator=generator)
    net = Sees()
    Classifier(net, **IMAGENET, input_size=(6, 5), device="cpu")(images)
    expected = functional.normalize(functional.convert_image_dtype(images), **IMAGENET)
    assert net.seen.equal(expected)
    assert net.seen.is_contiguous(memory_format=torch.channels_last)


def test_uint8_images_and_float_pixels_give_the_same_logits(classifier_of, small_net, images):
    classifier = classifier_of(small_net())
    logits = classifier(images)
    assert logits.shape == (4, 5)
    assert logits.dtype == torch.float32
    assert logits.equal(classifier.logits(images.float()))
    assert logits.equal(classifier.logits(images.double()))


def test_logits_can_be_differentiated_by_the_pixels_and_by_nothing_else(classifier_of, small_net, images):
    net = small_net()
    classifier = classifier_of(net)
    pixels = images.float().requires_grad_()
    before = pixels.detach().clone()
    classifier.logits(pixels)[:, 0].sum().backward()
    assert pixels.detach().equal(before)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())

    step = 0.5
    moved = before.clone()
    moved[0, 1, 4, 4] += step
    change = (classifier.logits(moved) - classifier.logits(before))[0, 0] / step
    assert pixels.grad[0, 1, 4, 4].item() == pytest.approx(change.item(), abs=1e-4)
    assert not classifier(images).requires_grad


def test_one_layer_left_in_train_mode_is_noticed(classifier_of, images):
    net = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(360, 2)).eval()
    net[0].train()
    with pytest.warns(RobustnessWarning, match="which changes Dropout"):
        classifier_of(net)(images)
    assert [layer.training for layer in net] == [True, False, False]


def test_train_mode_that_changes_nothing_is_not_worth_a_word(classifier_of, images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier_of(nn.Sequential(nn.Flatten(), nn.Linear(360, 2)).train())(images)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: x.float(), "images must be uint8, 0..255, got torch.float32"),
        (lambda x: x[0], r"must have shape \(N, 3, 12, 10\), N >= 1, got \(3, 12, 10\)"),
        (lambda x: x[:0], r"got \(0, 3, 12, 10\)"),
        (lambda x: x[:, :1], r"got \(4, 1, 12, 10\)"),
        (lambda x: x.transpose(2, 3), r"got \(4, 3, 10, 12\)"),
        (
            lambda x: x.numpy(),
            r"images must be a torch.Tensor, got numpy.ndarray: for numpy use torch.from_numpy",
        ),
    ],
)
def test_images_of_another_kind_are_refused(classifier_of, small_net, images, wrong, message):
    with pytest.raises(RobustcheckError, match=message):
        classifier_of(small_net())(wrong(images))


def test_integer_pixels_have_no_gradient_and_are_refused(classifier_of, small_net, images):
    with pytest.raises(RobustcheckError, match=r"pixels must be floats in 0..255, got torch.uint8"):
        classifier_of(small_net()).logits(images)


Output = namedtuple("Output", "logits hidden")


@dataclasses.dataclass
class Answer:
    logits: torch.Tensor


@dataclasses.dataclass
class Parts:
    first: torch.Tensor
    second: torch.Tensor


class Object:
    def __init__(self, logits):
        self.logits = logits


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y, x: (y, x),
        lambda y, x: [y],
        lambda y, x: ((y, x), x),
        Output,
        lambda y, x: Answer(y),
        lambda y, x: Parts(x, y),
        lambda y, x: {"hidden": x, "logits": y, "features": y + 1},
        lambda y, x: {"hidden": x, "classes": y},
        lambda y, x: Object(y),
        lambda y, x: (x, y),
        lambda y, x: [x, (x, {"scores": y})],
        lambda y, x: (y, y),
        lambda y, x: (y + 1 > 0, y, y.argmax(1), y[:, :1]),
    ],
)
def test_logits_are_found_in_what_networks_return(classifier_of, images, wrap):
    plain = classifier_of(Returns(lambda x: x.mean((2, 3))))(images)
    wrapped = classifier_of(Returns(lambda x: wrap(x.mean((2, 3)), x)))
    assert wrapped(images).equal(plain)
    pixels = images.float().requires_grad_()
    wrapped.logits(pixels).sum().backward()
    assert pixels.grad.abs().min() > 0


@pytest.mark.parametrize(
    ("make", "output"),
    [
        (lambda y: (y + 1, y), 1),
        (lambda y: [y + 1, y, y + 2], 1),
        (lambda y: {"a": y + 1, "b": y}, "b"),
        (lambda y: {0: y + 1, 1: y}, 1),
        (lambda y: Output(y + 1, y), "hidden"),
        (lambda y: Parts(y + 1, y), "second"),
        (lambda y: (y + 1, {"logits": y}), 1),
    ],
)
def test_the_output_can_be_chosen_and_counts_in_the_fingerprint(classifier_of, images, make, output):
    plain, module = classifier_of(Returns(lambda x: x.mean((2, 3)))), Returns(lambda x: make(x.mean((2, 3))))
    chosen = classifier_of(module, output=output)
    assert chosen(images).equal(plain(images))
    assert chosen.to("cpu")(images).equal(plain(images))
    assert chosen.fingerprint != classifier_of(module).fingerprint
    with pytest.raises(RobustcheckError, match=r"must return logits as output='nothing', got "):
        classifier_of(module, output="nothing")(images)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda x: {"a": x.mean((2, 3)), "b": x.mean((2, 3))},
            r"must return logits, got dict with a: \(4, 3\), b: .*output=1.*wrap it in",
        ),
        (
            lambda x: (x.mean(3).flatten(1), x.mean((2, 3))),
            r"must return logits, got tuple with 0: \(4, 36\), 1: \(4, 3\): choose the part, such as Classifier\(\.\.\., output=1",
        ),
        (
            lambda x: [x.mean((2, 3)), x.mean((2, 3)) + 1],
            r"must return logits, got list with 0: \(4, 3\), 1:",
        ),
        (
            lambda x: {"pred": x.mean(3).flatten(1), "cls_score": x.mean((2, 3))},
            r"got dict with pred: \(4, 36\), cls_score: \(4, 3\)",
        ),
        (lambda x: (x.mean((2, 3)), {"aux": x.mean((2, 3))}), r"must return logits, got tuple with 0: "),
        (lambda x: Parts(x, x), r"must return logits, got .*Parts with first: .* self.net\(x\).logits"),
        (lambda x: (), "must return logits, got tuple"),
        (lambda x: None, "must return logits, got NoneType"),
        (
            lambda x: x,
            (
                r"must return float logits of shape \(4, classes\), got torch.float32 of shape \(4, 3, 12, 10\)"
                r": evaluate Wrapped\(net\)\n(.*\n)*.*self.net\(x\).mean\(\(2, 3\)\)"
            ),
        ),
        (
            lambda x: x.mean((2, 3))[:2],
            (
                r"must return float logits of shape \(4, classes\), got torch.float32 of shape \(2, 3\)"
                ": have its forward return one row of logits for each image"
            ),
        ),
        (
            lambda x: x.mean((2, 3), keepdim=True),
            r"of shape \(4, 3, 1, 1\): evaluate Wrapped(.*\n)*.*x\).flatten\(1\)",
        ),
        (lambda x: x.mean((2, 3)).argmax(1), r"got torch.int64 of shape \(4,\): .* before any argmax"),
        (lambda x: x.mean((2, 3)).long(), r"got torch.int64 of shape \(4, 3\)"),
        (lambda x: x.mean((1, 2, 3))[:, None], "must return logits for at least 2 classes, got 1"),
    ],
)
def test_a_network_that_returns_no_logits_is_refused(classifier_of, images, make, message):
    with pytest.raises(RobustcheckError, match=message):
        classifier_of(Returns(make))(images)


def test_sparse_logits_are_made_dense(classifier_of, images):
    dense = classifier_of(Returns(lambda x: x.mean((2, 3))))(images)
    assert classifier_of(Returns(lambda x: x.mean((2, 3)).to_sparse()))(images).equal(dense)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite_are_refused_with_their_number(classifier_of, images, value):
    def spoil(x):
        logits = x.mean((2, 3))
        logits[1, 2] = logits[3, 0] = value
        return logits

    classifier = classifier_of(Returns(spoil), name="bad net")
    with pytest.raises(
        RobustcheckError,
        match=r"bad net returned NaN or infinite logits for 2 of 4 images \(batch positions 1, 3\)",
    ):
        classifier(images)


def test_a_class_count_that_changes_is_refused(classifier_of, images):
    classifier = classifier_of(Returns(lambda x: x.flatten(1)[:, : len(x)]), name="odd net")
    assert classifier.class_count is None
    classifier(images)
    assert classifier.class_count == 4
    with pytest.raises(RobustcheckError, match="odd net must always return 4 classes, got 3"):
        classifier(images[:3])


def test_class_names_must_be_as_many_as_the_classes(classifier_of, small_net, images):
    assert classifier_of(small_net(), class_names=list("abcde")).class_names == ("a", "b", "c", "d", "e")
    with pytest.raises(
        RobustcheckError, match="class_names must be one for each of the 5 classes of SmallNet, got 2"
    ):
        classifier_of(small_net(), class_names=["cat", "dog"])(images)


def test_the_class_count_can_be_had_without_images(classifier_of, small_net):
    assert classifier_of(small_net(classes=7)).probe() == 7


def test_a_network_in_half_precision_still_gets_exact_pixels_and_gives_float32(
    classifier_of, small_net, images
):
    half = classifier_of(small_net().to(torch.bfloat16))
    logits = half(images)
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, classifier_of(small_net())(images), atol=0.05)


def test_only_a_module_makes_a_classifier(classifier_of):
    with pytest.raises(RobustcheckError, match=r"module must be a torch.nn.Module, got function"):
        classifier_of(lambda x: x)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "unknown device 'gpu': allowed are auto, cpu, cuda and cuda:0"),
        ("cuda:x", "unknown device 'cuda:x'"),
        ("cuda:99", "device .*cuda:99"),
    ],
)
def test_a_device_that_is_not_there_is_refused(classifier_of, small_net, device, message):
    with pytest.raises(RobustcheckError, match=message):
        classifier_of(small_net(), device=device)


def test_auto_is_cuda_only_where_there_is_one(classifier_of, small_net, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert classifier_of(small_net(), device="auto").device == torch.device("cpu")
    with pytest.raises(RobustcheckError, match="finds no CUDA device here: use --robustcheck-device=cpu"):
        classifier_of(small_net(), device="cuda")


def test_a_classifier_says_what_it_is(classifier_of, small_net):
    classifier = classifier_of(small_net(), name="net")
    assert repr(classifier) == (
        "<Classifier net: 12x10 as it is, else shorter side to 10 or as much as covers 12x10 (bicubic), centre crop 12x10, "
        "mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225), on cpu>"
    )
    assert classifier_of(small_net()).name == "SmallNet"


def test_the_rule_survives_being_taken_apart_and_put_together(small_net):
    rule = Preprocessing((12, 10), (15, 11), "bilinear", False, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    classifier = Classifier.from_preprocessing(
        small_net(), rule, device="cpu", name="net", class_names=["a"] * 5
    )
    assert classifier.preprocessing == rule
    classifier.probe()
    moved = classifier.to("cpu")
    assert (moved.preprocessing, moved.name, moved.class_names, moved.class_count, moved.fingerprint) == (
        rule,
        "net",
        ("a",) * 5,
        5,
        classifier.fingerprint,
    )


# The fingerprint


def test_equal_weights_have_equal_fingerprints(classifier_of, small_net):
    one, other = classifier_of(small_net()), classifier_of(small_net())
    assert one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 16
    int(one.fingerprint, 16)


def _nudge(net):
    with torch.no_grad():
        net.stem.weight[0, 0, 0, 0] = np.nextafter(
            net.stem.weight[0, 0, 0, 0].item(), 9, dtype=np.float32
        ).item()


def _buffer(net):
    net.norm.running_mean[0] += 1


def _dtype(net):
    net.half()


def _kind(net):
    net.norm.num_batches_tracked = net.norm.num_batches_tracked.double()  # 0 as eight bytes, as before


def _shape(net):
    net.head.weight.data = net.head.weight.data.reshape(6, 5)


def _rename(net):
    net.tail = net.head
    del net.head


def _layer(net):
    net.norm.__class__ = type("OtherNorm", (nn.BatchNorm2d,), {})


@pytest.mark.parametrize("change", [_nudge, _buffer, _dtype, _kind, _shape, _rename, _layer])
def test_any_change_of_the_network_changes_the_fingerprint(classifier_of, small_net, change):
    net = small_net()
    before = classifier_of(net).fingerprint
    change(net)
    assert classifier_of(net).fingerprint != before


@pytest.mark.parametrize(
    "change", [{"mean": (0.5, 0.456, 0.406)}, {"input_size": (12, 11)}, {"interpolation": "bilinear"}]
)
def test_other_preprocessing_changes_the_fingerprint(classifier_of, small_net, change):
    assert classifier_of(small_net(), **change).fingerprint != classifier_of(small_net()).fingerprint


def test_the_name_does_not_change_the_fingerprint(classifier_of, small_net):
    assert (
        classifier_of(small_net(), name="one").fingerprint
        == classifier_of(small_net(), name="two").fingerprint
    )


def test_another_process_finds_the_same_fingerprint():
    program = (
        "import torch; from torch import nn; from robustcheck.models import Classifier; torch.manual_seed(3);"
        "print(Classifier(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2)), mean=(0.1, 0.2, 0.3),"
        "std=(1, 1, 1), input_size=4, device='cpu').fingerprint)"
    )
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    here = Classifier(net, mean=(0.1, 0.2, 0.3), std=(1, 1, 1), input_size=4, device="cpu").fingerprint
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert there.strip() == here
