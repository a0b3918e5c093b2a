from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class SmallNet(nn.Module):
    """Two layers and a head, on images of any size."""

    def __init__(self, classes: int = 5, width: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.norm(self.stem(x)).relu().mean(dim=(2, 3)))


@pytest.fixture
def small_net():
    def make(classes: int = 5, width: int = 6, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return SmallNet(classes, width).eval()

    return make


@pytest.fixture
def classifier_of():
    """A classifier on the CPU for 12x10 images, around any module."""
    from robustcheck.models import Classifier

    def make(module, **options):
        return Classifier(module, **{**IMAGENET, "input_size": (12, 10), "device": "cpu", **options})

    return make


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (4, 3, 12, 10), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Four photographs in four class folders."""
    return Path(__file__).parents[2] / "fixtures" / "images"
