"""Small classifiers and images, made in milliseconds, on which every number can be known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn


class Linear(nn.Module):
    """Logits that are a fixed linear function of the pixels, so that gradients are known."""

    def __init__(self, classes=4, size=16, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(classes, 3 * size * size, generator=generator))

    def forward(self, images):
        return images.flatten(1) @ self.weight.T / images[0].numel() ** 0.5


@pytest.fixture(scope="session")
def toy_classifier():
    """Four classes, 16x16 pixels, linear."""
    from robustcheck.models import Classifier

    return Classifier(Linear(), mean=(0.5,) * 3, std=(0.5,) * 3, input_size=16, device="cpu", name="toy")


@pytest.fixture(scope="session")
def toy_images(toy_classifier):
    """Thirteen random images; all but three labels are what the toy classifier says."""
    from robustcheck.images import ImageSet

    pixels = np.random.default_rng(0).integers(0, 256, (13, 3, 16, 16), dtype=np.uint8)
    labels = toy_classifier(torch.from_numpy(pixels)).argmax(1).numpy()
    labels[:3] = (labels[:3] + 1) % 4
    return ImageSet.from_arrays(pixels, labels, names=[f"toy-{index:02}.png" for index in range(13)])
