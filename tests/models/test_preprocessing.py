from __future__ import annotations

import numpy as np
import pytest
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robustcheck import RobustcheckError
from robustcheck.images.decoding import resize_and_crop
from robustcheck.models import Preprocessing
from robustcheck.models.sources.torchvision import preprocessing_of_weights

CONFIG = {"input_size": (3, 40, 40), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def photograph(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("size", "resize"), [(224, 224), (299, 299), ((32, 64), 32), (np.int64(224), 224)])
def test_a_bare_size_is_covered_and_no_more(size, resize):
    rule = Preprocessing.for_size(size)
    assert rule.resize == resize
    assert rule.interpolation == "bicubic"
    assert rule.input_size == ((size, size) if not isinstance(size, tuple) else size)


@pytest.mark.parametrize("size", [(32, 32), (128, 384), (384, 128), (31, 17)])
def test_an_image_of_a_bare_size_is_taken_as_it_is(size):
    image = photograph(size[1], size[0])
    np.testing.assert_array_equal(
        resize_and_crop(image, Preprocessing.for_size(size)), np.asarray(image).transpose(2, 0, 1)
    )


@pytest.mark.parametrize("size", [(32, 32), (128, 384), (300, 17)])
@pytest.mark.parametrize("given", [(640, 427), (427, 640), (33, 31), (5, 500), (1000, 3000)])
def test_a_bare_size_keeps_one_side_of_the_image_whole(size, given):
    height, width = Preprocessing.for_size(size).resized(*given)
    assert height == size[0] or width == size[1]
    assert height >= size[0]
    assert width >= size[1]
    assert height / width == pytest.approx(given[0] / given[1], rel=1 / min(height, width))


def test_a_rule_that_is_given_holds_for_images_of_the_input_size_too():
    image = photograph(32, 32)
    rule = Preprocessing.for_size(32, resize=36)
    functional = torchvision.transforms.functional
    resized = functional.resize(image, 36, interpolation=functional.InterpolationMode.BICUBIC)
    np.testing.assert_array_equal(
        resize_and_crop(image, rule), np.asarray(functional.center_crop(resized, 32)).transpose(2, 0, 1)
    )


def test_values_are_plain_whatever_sequence_they_came_in():
    rule = Preprocessing.for_size([8, 9], resize=[10, 12], mean=np.array([0.1, 0.2, 0.3]), std=[1, 1, 1])
    same = Preprocessing.for_size((8, 9), resize=(10, 12), mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    assert rule == same
    assert hash(rule) == hash(same)
    assert repr(rule) == repr(same)


def test_a_squash_is_described_as_one():
    rule = Preprocessing.for_size((8, 9), resize=(10, 12), interpolation="bilinear", antialias=False)
    assert rule.describe().startswith("squash to 10x12 (bilinear, no antialiasing), centre crop 8x9, mean")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 0}, r"input_size must be an integer or \(height, width\) in pixels, each >= 1, got 0"),
        ({"size": (3, 8, 8)}, r"input_size must be .*, got \(3, 8, 8\)"),
        ({"size": "224"}, "input_size must be .*, got '224'"),
        ({"size": 8.5}, "input_size must be .*, got 8.5"),
        ({"size": 8, "interpolation": "cubic"}, "unknown interpolation 'cubic': did you mean 'bicubic'"),
        ({"size": 8, "interpolation": "lanczos", "antialias": False}, "unknown interpolation 'lanczos'"),
        ({"size": 8, "mean": (0.5, 0.5)}, r"mean must be three numbers, .*got \(0.5, 0.5\)"),
        ({"size": 8, "mean": 0.5}, r"mean must be three numbers, .*mean=\(0.5,\).*got 0.5"),
        ({"size": 8, "mean": ()}, r"mean must be three numbers, .*got \(\)"),
        ({"size": 8, "mean": (0.5,)}, r"mean and std must have as many numbers.*got \(0.5,\) and \(1.0, "),
        ({"size": 8, "mean": (float("nan"),) * 3}, "mean must be finite numbers, got"),
        ({"size": 8, "mean": (123.7, 116.3, 103.5)}, "divide mean and std by 255"),
        ({"size": 8, "std": (0.2, 0.0, 0.2)}, r"std must be above 0, .*got \(0.2, 0.0, 0.2\)"),
        ({"size": 8, "resize": 7}, r"resize must be at least input_size \(8, 8\), got 7"),
        ({"size": 8, "resize": (7, 9)}, r"resize must be .*, got \(7, 9\)"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(given, message):
    with pytest.raises(RobustcheckError, match=message):
        Preprocessing.for_size(**given)


@settings(deadline=None)
@given(
    width=st.integers(30, 90),
    height=st.integers(30, 90),
    size=st.integers(16, 48),
    fraction=st.sampled_from([0.875, 0.882, 0.9, 0.95, 1.0]),
    mode=st.sampled_from(["center", "squash"]),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
)
def test_pixels_equal_those_of_timms_own_transform(width, height, size, fraction, mode, interpolation):
    from timm.data import create_transform

    config = {
        **CONFIG,
        "input_size": (3, size, size),
        "crop_pct": fraction,
        "crop_mode": mode,
        "interpolation": interpolation,
    }
    image = photograph(width, height)
    theirs = create_transform(**config, is_training=False, normalize=False)(image)
    rule = Preprocessing.from_timm(config, name="a model")
    np.testing.assert_array_equal(resize_and_crop(image, rule), theirs.numpy())


def test_a_timm_configuration_without_the_details_gets_timms_defaults():
    from timm.data import resolve_data_config

    resolved = resolve_data_config(pretrained_cfg=CONFIG)
    assert Preprocessing.from_timm(CONFIG, name="a model") == Preprocessing.from_timm(
        resolved, name="a model"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"crop_mode": "border"},
            "crop of a model must be timm's center to a square, or squash, got 'border' to 40x40",
        ),
        ({"input_size": (3, 40, 20)}, r"got 'center' to 40x20.*input_size=\(40, 20\)"),
        ({"input_size": (1, 40, 40)}, r"a model must take 3 channels \(RGB\), or .*got 1 ch"),
    ],
)
def test_a_timm_configuration_that_cannot_be_held_to_is_refused(change, message):
    with pytest.raises(RobustcheckError, match=message):
        Preprocessing.from_timm({**CONFIG, **change}, name="a model")


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_b1", "swin_v2_t", "vit_l_16"])
def test_pixels_equal_those_of_torchvisions_own_transform(name):
    weights = torchvision.models.get_model_weights(name)["DEFAULT"]
    rule = preprocessing_of_weights(weights)
    transform = weights.transforms()
    image = photograph(301, 417)
    theirs = transform(image)
    ours = torchvision.transforms.functional.normalize(
        torchvision.transforms.functional.convert_image_dtype(_tensor(resize_and_crop(image, rule))),
        rule.mean,
        rule.std,
    )
    assert ours.equal(theirs)


def test_every_torchvision_classifier_has_a_rule():
    names = torchvision.models.list_models(module=torchvision.models)
    rules = {
        name: preprocessing_of_weights(torchvision.models.get_model_weights(name)["DEFAULT"])
        for name in names
    }
    assert len(rules) >= 80
    assert rules["inception_v3"].input_size == (299, 299)


def test_without_antialiasing_the_resizing_is_that_of_a_tensor():
    image = photograph(60, 50)
    rule = Preprocessing.for_size(20, resize=23, interpolation="bilinear", antialias=False)
    functional = torchvision.transforms.functional
    theirs = functional.center_crop(
        functional.resize(functional.pil_to_tensor(image), [23], antialias=False), [20]
    )
    np.testing.assert_array_equal(resize_and_crop(image, rule), theirs.numpy())
    assert (
        resize_and_crop(image, rule)
        != resize_and_crop(image, Preprocessing.for_size(20, resize=23, interpolation="bilinear"))
    ).any()


def _tensor(pixels):
    import torch

    return torch.from_numpy(pixels)
