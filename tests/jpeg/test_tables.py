"""The tables are Pillow's, and the factors that stand for division are exact."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from robustcheck.jpeg.tables import DCT_MATRIX, chroma_factors, quantiser_steps, reciprocals

ZIGZAG = sorted(
    ((row, column) for row in range(8) for column in range(8)),
    key=lambda place: (sum(place), place[sum(place) % 2 == 0]),
)


def test_steps_are_what_pillow_writes_at_every_quality():
    grey = Image.new("RGB", (8, 8))
    steps = quantiser_steps(torch.arange(1, 101))
    assert steps.shape == (100, 2, 8, 8)
    for quality in range(1, 101):
        file = BytesIO()
        grey.save(file, "JPEG", quality=quality)
        data = file.getvalue()
        own = steps[quality - 1]
        for table in range(2):
            segment = data.index(b"\xff\xdb\x00\x43" + bytes([table])) + 5
            written = list(data[segment : segment + 64])
            assert [int(own[table][place]) for place in ZIGZAG] == written


@pytest.mark.parametrize("way", ["round", "truncate"])
def test_multiplying_by_the_factor_divides_exactly(way):
    """For every step, and every DCT output there can be: as the tensor codec does it, and as Triton does."""
    outputs = np.arange(1 << 14, dtype=np.int64)
    for step in range(1, 256):
        factor = reciprocals(torch.tensor([step])).numpy()[0]
        product = outputs.astype(np.float32) * factor
        levels = np.rint(product) if way == "round" else np.trunc(product + np.float32(0.5))
        assert (levels == (outputs + 4 * step) // (8 * step)).all(), step


def test_the_matrix_is_nearly_orthogonal():
    matrix = np.array(DCT_MATRIX, dtype=np.float64) / 8192 / 8**0.5
    assert np.abs(matrix @ matrix.T - np.eye(8)).max() < 2e-4


def test_factors():
    assert [chroma_factors(name) for name in ("4:4:4", "4:2:2", "4:2:0")] == [(1, 1), (2, 1), (2, 2)]
