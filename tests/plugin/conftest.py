"""A user's repository with a toy model, for pytest to run inside pytest.

pytester forgets what was first imported inside a run, and torch can't be loaded twice: so it is loaded here.
"""

import pytest
import timm  # noqa: F401
import torchvision  # noqa: F401
from PIL import Image

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


@pytest.fixture
def repository(pytester, monkeypatch):
    """A folder whose conftest brings a toy model: 40 images, 4 classes, clean accuracy 0.9."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-Wdefault")  # a user's, not this project's errors
    pytester.makeconftest(CONFTEST)
    return pytester


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


@pytest.fixture
def red_and_green(pytester):
    """A folder of images of two classes, three each, the option that names it, and a test that holds on them."""
    for name, colour in (("a_red", (200, 20, 0)), ("b_green", (20, 200, 0))):
        inner = pytester.path / "set" / name
        inner.mkdir(parents=True)
        for shade in range(3):
            Image.new("RGB", (20, 20), (colour[0] + shade, *colour[1:])).save(inner / f"{shade}.png")
    pytester.makepyfile(test_colours=RED_AND_GREEN)
    return "--robustcheck-images=set"
