"""OverFeat on files of the right size and known content; nobody may pass on the real ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustcheck import RobustcheckError
from robustcheck.models import load_model
from robustcheck.models.imagenet_classes import challenge_wnids, class_of_challenge_id, sorted_wnids
from robustcheck.models.sources.overfeat import (
    ARCHITECTURES,
    Architecture,
    Convolution,
    OverFeat,
    places,
    read_weights,
)

FAST, ACCURATE = ARCHITECTURES["overfeat-fast"], ARCHITECTURES["overfeat-accurate"]
OFFSETS = {
    "overfeat-fast": [0, 34944, 649600, 1829760, 6549376, 15987584, 129236864, 141823872],
    "overfeat-accurate": [0, 14208, 1218688, 2398848, 4758656, 9478272, 18916480, 123778176, 140559488],
}
FLOATS = {"overfeat-fast": 145_920_872, "overfeat-accurate": 144_656_488}
BOTH = pytest.mark.parametrize("name", list(ARCHITECTURES))


def sparse(path, architecture, numbers=()):
    """A file of the released size that is zero but for `numbers`, (place, value) each; it takes next to no disk."""
    with path.open("wb") as file:
        file.truncate(4 * architecture.floats)
        for place, value in numbers:
            file.seek(4 * place)
            file.write(np.array(value, dtype="<f4").tobytes())
    return path


# The files


@BOTH
def test_every_layer_ends_where_the_next_begins(name):
    architecture = ARCHITECTURES[name]
    found = places(architecture)
    assert [begin for _, begin, _, _ in found] == OFFSETS[name]
    ends = [middle + shape[0] for shape, _, middle, _ in found]
    assert ends == [end for *_, end in found] == [*OFFSETS[name][1:], FLOATS[name]]
    assert architecture.floats == FLOATS[name]


@BOTH
def test_every_tensor_is_read_from_its_place(name, tmp_path):
    architecture = ARCHITECTURES[name]
    corners = []
    for layer, (shape, begin, middle, _) in enumerate(places(architecture), 1):
        corners += [(begin, layer + 0.1), (middle - 1, layer + 0.2), (middle, layer + 0.3)]
        corners += [(middle + shape[0] - 1, layer + 0.4), (begin + shape[3], layer + 0.5)]
    read = read_weights(sparse(tmp_path / "net", architecture, corners), architecture, name)
    assert len(read) == len(architecture.convolutions)
    for layer, ((weight, bias), (shape, *_)) in enumerate(zip(read, places(architecture), strict=True), 1):
        assert weight.shape == shape
        assert bias.shape == shape[:1]
        second_row = weight[0, 0, 1, 0] if shape[2] > 1 else weight.flatten()[1]
        got = [weight.flatten()[0], weight.flatten()[-1], bias[0], bias[-1], second_row]
        assert [round(float(value) - layer, 3) for value in got] == [0.1, 0.2, 0.3, 0.4, 0.5]


@BOTH
def test_a_file_of_another_size_is_refused(name, tmp_path):
    (tmp_path / "short").write_bytes(b"\0" * 400)
    with pytest.raises(
        RobustcheckError, match=r"net_weight_\d of .* must have \d{9} bytes, got 400 in .*: it is truncated"
    ):
        load_model(name, weights=tmp_path / "short", device="cpu")
    other = ({*ARCHITECTURES} - {name}).pop()
    path = sparse(tmp_path / "other", ARCHITECTURES[other])
    with pytest.raises(RobustcheckError, match=f"it is the file of {other}; use --robustcheck-model={other}"):
        load_model(name, weights=path, device="cpu")


@pytest.mark.parametrize("value", [np.nan, np.inf, -3e8])
def test_numbers_that_are_no_weights_are_refused(tmp_path, value):
    path = sparse(tmp_path / "net", FAST, [(OFFSETS["overfeat-fast"][4] + 1000, value)])
    with pytest.raises(
        RobustcheckError, match="does not hold weights of overfeat-fast: the numbers of convolution 5"
    ):
        load_model("overfeat-fast", weights=path, device="cpu")


@BOTH
def test_without_weights_it_says_which_file_is_needed(name):
    with pytest.raises(
        RobustcheckError, match=f"{name} needs the file {ARCHITECTURES[name].file} of OverFeat's release"
    ):
        load_model(name, device="cpu")


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(RobustcheckError, match=r"no weights at .*nowhere: no such file"):
        load_model("overfeat-fast", weights=tmp_path / "nowhere", device="cpu")


# The network


@pytest.mark.parametrize(
    ("architecture", "sides"),
    [(FAST, [28, 12, 12, 12, 6, 1, 1, 1]), (ACCURATE, [36, 15, 15, 15, 15, 5, 1, 1, 1])],
)
def test_shapes_at_every_layer(architecture, sides):
    empty = [
        (torch.empty(shape, device="meta"), torch.empty(shape[:1], device="meta"))
        for shape, *_ in places(architecture)
    ]
    images = torch.empty(2, 3, architecture.input_size, architecture.input_size, device="meta")
    seen = []
    for layer in OverFeat(architecture, empty).layers:
        images = layer(images)
        if isinstance(layer, torch.nn.Conv2d):
            seen.append(tuple(images.shape[1:]))
        else:
            seen[-1] = tuple(images.shape[1:])
    channels = [convolution.outputs for convolution in architecture.convolutions]
    assert seen == [(outputs, side, side) for outputs, side in zip(channels, sides, strict=True)]
    assert seen[-1] == (1000, 1, 1)


def convolved(images, weight, bias, stride, padding):
    """Cross-correlation, an output pixel at a time, in numpy alone."""
    images = np.pad(images, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    kernel = weight.shape[2]
    side = (images.shape[2] - kernel) // stride + 1
    out = np.empty((len(images), len(weight), side, side))
    for row in range(side):
        for column in range(side):
            window = images[
                :, :, row * stride : row * stride + kernel, column * stride : column * stride + kernel
            ]
            out[:, :, row, column] = np.tensordot(window, weight, ((1, 2, 3), (1, 2, 3))) + bias
    return out


def pooled(images, size):
    side = images.shape[2] // size
    whole = images[:, :, : side * size, : side * size]
    return whole.reshape(*images.shape[:2], side, size, side, size).max((3, 5))


SMALL = Architecture(
    file="small",
    input_size=28,
    convolutions=(
        Convolution(4, 5, stride=2, pool=3),
        Convolution(6, 3, padding=1, pool=2),
        Convolution(1000, 2),
    ),
)


def test_small_networks_of_the_same_kinds_of_layer_equal_numpys(tmp_path):
    random = np.random.default_rng(0)
    weights, channels = [], 3
    for layer in (*SMALL.convolutions[:2], Convolution(1000, 2)):
        shape = (layer.outputs, channels, layer.kernel, layer.kernel)
        weights.append((random.normal(0, 0.2, shape), random.normal(0, 0.2, layer.outputs)))
        channels = layer.outputs
    images = random.normal(0, 1, (2, 3, 28, 28))
    # 28 -> 12 by the convolution -> 4 by pooling of 3 -> 4 -> 2 by pooling of 2 -> 1
    expected = images
    for index, (layer, (weight, bias)) in enumerate(zip(SMALL.convolutions, weights, strict=True)):
        expected = convolved(expected, weight, bias, layer.stride, layer.padding)
        if index < 2:
            expected = np.where(expected > 1e-6, expected, 0)
            expected = pooled(expected, layer.pool)
    network = OverFeat(SMALL, [tuple(torch.from_numpy(part).float() for part in pair) for pair in weights])
    logits = network(torch.from_numpy(images).float())
    assert logits.shape == (2, 1000)
    by_sorted_wnid = np.empty((2, 1000))
    by_sorted_wnid[:, class_of_challenge_id()] = expected[:, :, 0, 0]
    assert np.allclose(logits.numpy(force=True), by_sorted_wnid, atol=1e-5)


def test_the_threshold_is_above_1e6_and_not_after_the_last_layer():
    layers = OverFeat(
        SMALL,
        [(torch.zeros(s), torch.full(s[:1], -1.0)) for s in [(4, 3, 5, 5), (6, 4, 3, 3), (1000, 6, 2, 2)]],
    ).layers
    small = torch.tensor([1e-7, 1e-6, 2e-6, -1.0])
    assert layers[1](small).tolist() == [0, 0, small[2].item(), 0]
    assert layers(torch.zeros(1, 3, 28, 28)).unique().tolist() == [-1]


def chain(architecture):
    """Numbers that make a class score grow with the red in the middle of the image, another with the blue."""
    numbers = []
    found = places(architecture)
    for index, (shape, begin, *_) in enumerate(found):
        outputs, channels, kernel, _ = shape
        centre = kernel // 2 * kernel + kernel // 2
        for lane, colour in ((0, 0), (1, 2)):
            source = colour if index == 0 else lane
            target = {0: 0, 1: 448}[lane] if outputs == 1000 else lane  # ILSVRC2012_ID 1 and 449
            numbers.append(
                (begin + (target * channels + source) * kernel**2 + centre, 2.0 if index == 0 else 1.0)
            )
    numbers.append((found[-1][2] + 5, -1.5))  # the bias of ILSVRC2012_ID 6
    return numbers


@pytest.mark.slow
@BOTH
def test_the_whole_network_on_a_file_of_known_numbers(name, tmp_path):
    architecture = ARCHITECTURES[name]
    classifier = load_model(
        name, weights=sparse(tmp_path / "net", architecture, chain(architecture)), device="cpu"
    )
    size = architecture.input_size
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    images[0, 0], images[0, 2] = 200, 150
    logits = classifier(images)
    normalised = [(level - 118.380948) / 61.896913 for level in (200, 150)]
    kit_fox, tench, grey_whale = (sorted_wnids().index(challenge_wnids()[i]) for i in (0, 448, 5))
    assert (kit_fox, tench, grey_whale) == (278, 0, 147)
    assert [classifier.class_names[i] for i in (278, 0, 147)] == ["kit fox", "tench", "grey whale"]
    expected = torch.zeros(2, 1000)
    expected[0, kit_fox], expected[0, tench] = 2 * normalised[0], 2 * normalised[1]
    expected[:, grey_whale] = -1.5
    assert torch.allclose(logits, expected, atol=1e-4)
    assert classifier.preprocessing.resize == 256
    assert classifier.input_size == (size, size)
    pixels = images.float().requires_grad_()
    classifier.logits(pixels)[0, kit_fox].backward()
    assert pixels.grad[0, 0].max() > 0
    assert pixels.grad[0, 1:].abs().max() == 0


def test_the_challenge_numbers_every_class_once():
    assert sorted(class_of_challenge_id().tolist()) == list(range(1000))
    assert challenge_wnids()[0] == "n02119789"
    assert sorted_wnids()[0] == "n01440764"
    timm = pytest.importorskip("timm")
    assert list(sorted_wnids()) == timm.data.ImageNetInfo("imagenet-1k").label_names()
