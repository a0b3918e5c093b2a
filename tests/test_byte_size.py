"""Sizes as people write them."""

import pytest

from robustcheck.byte_size import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("16M", 16 * 10**6), ("1.5g", 1_500_000_000), ("20GiB", 20 * 2**30), ("2 TB", 2 * 10**12)],
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size
