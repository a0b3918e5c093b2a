"""Toy models, images and a user's repository, on which every number can be known.

Import it as `from tests import toys`.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import nn

from robustcheck import Classifier, ImageSet
from robustcheck.records import COLUMNS


class Linear(nn.Module):
    """Logits that are a fixed linear function of the pixels, so that gradients are known."""

    def __init__(self, classes=4, size=16, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(classes, 3 * size * size, generator=generator))

    def forward(self, images):
        return images.flatten(1) @ self.weight.T / images[0].numel() ** 0.5


def classifier_of(module, **options):
    """A classifier around a module: 16x16 pixels, on the CPU."""
    defaults = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": 16, "device": "cpu", "name": "toy"}
    return Classifier(module.eval(), **{**defaults, **options})


def random_pixels(count, size=16, seed=0):
    """Uniform uint8 noise (count, 3, size, size)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def images_for(classifier, count=13, *, wrong=3, seed=0, **options):
    """Random images; all labels but the first few are what the classifier says."""
    pixels = random_pixels(count, seed=seed)
    labels = classifier(torch.from_numpy(pixels)).argmax(1).numpy()
    labels[:wrong] = (labels[:wrong] + 1) % 4
    return ImageSet.from_arrays(pixels, labels, **options)


def pixels_of(images):
    """All pixels of a set as one batch."""
    return next(images.batches(len(images))).pixels


def through_pillow(images, quality=75, subsampling="4:2:0"):
    """What Pillow's JPEG makes of a uint8 batch (N, 3, H, W), with a quality for all or for each."""
    qualities = [quality] * len(images) if isinstance(quality, int) else [int(value) for value in quality]
    results = []
    for image, own in zip(images, qualities, strict=True):
        file = BytesIO()
        whole = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        whole.save(file, "JPEG", quality=own, subsampling=subsampling)
        results.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
    return torch.stack(results)


def assert_same_records(one, other):
    """The same images and views, and every column equal to the bit."""
    assert one.ids == other.ids
    assert one.views == other.views
    for view in one.views:
        for name in COLUMNS:
            assert one.columns[view][name].tobytes() == other.columns[view][name].tobytes(), (view, name)


# A user's conftest.py: 40 images, 4 classes, clean accuracy 0.9.
CONFTEST = """
import numpy as np
import pytest
import torch
import robustcheck


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4, 768, generator=torch.Generator().manual_seed(0)))

    def forward(self, images):
        return images.flatten(1) @ self.weight.T / 28


@pytest.fixture(scope="session")
def robustcheck_model():
    return robustcheck.Classifier(Net().eval(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, name="toy", device="cpu")


@pytest.fixture(scope="session")
def robustcheck_images(robustcheck_model):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    labels = robustcheck_model(torch.from_numpy(pixels)).argmax(1).numpy()
    labels[:4] = (labels[:4] + 1) % 4
    names = [f"toy-{index:02}.png" for index in range(40)]
    return robustcheck.ImageSet.from_arrays(pixels, labels, names=names, name="forty")
"""

# A user's test with a model of its own, for a folder of reddish and greenish images.
RED_AND_GREEN = """
import pytest, torch, robustcheck


class Net(torch.nn.Module):
    def forward(self, images):
        return images.mean((2, 3))[:, :2] * 9


@pytest.fixture(scope="session")
def robustcheck_model():
    return robustcheck.Classifier(Net(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, name="toy", device="cpu")


def test_red_is_told_from_green(robustness):
    assert robustness["x"].accuracy >= 1
    assert robustness["Adv_1"].kept >= 0.9
"""
