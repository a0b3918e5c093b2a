from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Four photographs in four class folders."""
    return Path(__file__).parents[2] / "fixtures" / "images"


@pytest.fixture
def write_image(tmp_path):
    """Write a small image of its own pixels under tmp_path."""

    def write(name: str, size=(20, 16), seed: int | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(sum(map(ord, name)) if seed is None else seed)
        Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
        return path

    return write
