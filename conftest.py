"""What the tests and the package's doctests share."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(scope="session")
def sample_classifier():
    """EfficientNet-Lite0 with its ImageNet weights."""
    from robustcheck.models import load_model

    return load_model("sample", device="cpu")


@pytest.fixture(scope="session")
def sample_images(sample_classifier):
    """Twenty labelled photographs at its input size."""
    from robustcheck.images import open_images

    return open_images("sample", size=sample_classifier.preprocessing)
