from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck.atomic_io import write_whole
from robustcheck.images.shard import DamagedShard, open_shard, packed
from robustcheck.images.source import image_id

SHAPE = (3, 4, 5)


def made(count, marks=3):
    random = np.random.default_rng(count)
    pixels = random.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    images = {random.bytes(16): (each, image_id(each)) for each in pixels}
    return images, {random.bytes(16): random.bytes(16) for _ in range(marks)}


@pytest.mark.parametrize(("count", "marks"), [(1, 0), (7, 3), (0, 4)])
def test_what_is_written_is_read(tmp_path, count, marks):
    images, its_marks = made(count, marks)
    write_whole(tmp_path / "a.shard", packed(images, its_marks))
    shard = open_shard(tmp_path / "a.shard", SHAPE)
    assert len(shard) == count
    assert shard.marks == its_marks
    for row, (key, (pixels, its_id)) in enumerate(images.items()):
        assert (shard.keys[row], shard.ids[row]) == (key, its_id)
        np.testing.assert_array_equal(shard.pixels[row], pixels)
    assert not shard.pixels.flags.writeable
    assert (tmp_path / "a.shard").stat().st_size == count * (60 + 24) + marks * 32 + 56


@settings(max_examples=150)
@given(st.data())
def test_no_changed_byte_goes_unnoticed(tmp_path_factory, data):
    images, marks = made(3)
    whole = b"".join(packed(images, marks))
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "changed.shard"
    write_whole(path, bytes(changed))
    try:
        shard = open_shard(path, SHAPE)
    except DamagedShard:
        return
    wrong = [row for row in range(3) if image_id(shard.pixels[row]) != shard.ids[row]]
    assert wrong == [at // 60]


@pytest.mark.parametrize("length", [0, 10, 55, 56, 200, -1])
def test_what_is_cut_off_is_refused(tmp_path, length):
    write_whole(tmp_path / "a.shard", b"".join(packed(*made(3)))[:length])
    with pytest.raises(DamagedShard, match="cut off"):
        open_shard(tmp_path / "a.shard", SHAPE)


def test_images_of_another_size_are_refused(tmp_path):
    write_whole(tmp_path / "a.shard", packed(*made(3)))
    with pytest.raises(DamagedShard, match="images of 60 bytes, not of 48"):
        open_shard(tmp_path / "a.shard", (3, 4, 4))
