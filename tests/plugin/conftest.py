"""A user's repository with a toy model, for pytest to run inside pytest.

pytester forgets what was first imported inside a run, and torch can't be loaded twice: so it is loaded here.
"""

import pytest
import timm  # noqa: F401
import torchvision  # noqa: F401

import robustcheck.evaluation.sanity.examining
import robustcheck.record_tables
import robustcheck.report.html
import robustcheck.report.terminal
import robustcheck.robustness  # noqa: F401

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
