from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustcheck import RobustcheckError
from robustcheck.images import Batch, ImageSet, open_images


def arrays(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 5, 4), dtype=np.uint8)


class Counted:
    """Reads arrays, and counts how often each was read."""

    def __init__(self, pixels):
        self.pixels = pixels
        self.reads = [0] * len(pixels)
        self.lock = threading.Lock()

    def __call__(self, position):
        with self.lock:
            self.reads[position] += 1
        return self.pixels[position]


def counted(count: int) -> tuple[ImageSet, Counted]:
    read = Counted(arrays(count))
    return ImageSet(read, names=[f"{i}.png" for i in range(count)], labels=range(count), name="counted"), read


@settings(max_examples=40)
@given(st.data())
def test_batches_give_each_asked_image_once_in_the_order_asked(data):
    count = data.draw(st.integers(1, 12), label="count")
    pixels = arrays(count)
    image_set = ImageSet.from_arrays(pixels, labels=np.arange(count) % 3)
    order = data.draw(
        st.none() | st.lists(st.integers(0, count - 1), max_size=20).map(np.array), label="order"
    )
    size = data.draw(st.integers(1, 7), label="size")
    expected = list(range(count)) if order is None else order.astype(int).tolist()

    batches = list(image_set.batches(size, order))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    positions = [int(i) for batch in batches for i in batch.indices]
    assert positions == expected
    for batch in batches:
        assert isinstance(batch, Batch)
        assert batch.pixels.dtype == torch.uint8
        assert batch.pixels.numpy().tobytes() == pixels[batch.indices].tobytes()
        assert batch.labels.tolist() == [i % 3 for i in batch.indices]
        assert batch.ids == tuple(image_set.ids[i] for i in batch.indices)
        assert batch.names == tuple(f"image {i}" for i in batch.indices)


def test_several_passes_give_the_same(photographs):
    image_set = open_images(photographs, size=32)
    first, second = list(image_set), list(image_set)
    assert first[0].pixels.equal(second[0].pixels)
    assert first[0].ids == second[0].ids == image_set.ids
    assert first[0].labels.dtype == torch.int64


def test_ids_seen_in_a_pass_are_not_decoded_for_again():
    image_set, read = counted(6)
    for batch in image_set.batches(2, [4, 0, 5]):
        assert len(batch.ids[0]) == 16
    assert read.reads == [1, 0, 0, 0, 1, 1]
    assert len(image_set.ids) == 6
    assert read.reads == [1] * 6
    assert image_set.fingerprint == image_set.fingerprint
    assert read.reads == [1] * 6


def test_ids_are_of_the_pixels_alone(photographs):
    pixels = arrays(3)
    pixels[2] = pixels[0]
    ids = ImageSet.from_arrays(pixels, labels=[0, 1, 2]).ids
    assert ids[0] == ids[2] != ids[1]
    from_files = open_images(photographs, size=16)
    in_memory = ImageSet.from_arrays(torch.cat([batch.pixels for batch in from_files]))
    assert in_memory.ids == from_files.ids
    assert open_images(photographs, size=17).ids != from_files.ids


def test_one_changed_pixel_is_another_id():
    pixels = arrays(2)
    pixels[1] = pixels[0]
    pixels[1, 2, 4, 3] ^= 1
    one, other = ImageSet.from_arrays(pixels).ids
    assert one != other


def test_the_fingerprint_is_over_pixels_labels_and_order():
    pixels = arrays(3)
    base = ImageSet.from_arrays(pixels, labels=[0, 1, 2]).fingerprint
    assert len(base) == 16
    assert (
        ImageSet.from_arrays(torch.from_numpy(pixels), labels=[0, 1, 2], names=["a", "b", "c"]).fingerprint
        == base
    )
    assert ImageSet.from_arrays(pixels, labels=[0, 1, 1]).fingerprint != base
    assert ImageSet.from_arrays(pixels).fingerprint != base
    assert ImageSet.from_arrays(pixels[::-1], labels=[2, 1, 0]).fingerprint != base
    assert ImageSet.from_arrays(pixels[:2], labels=[0, 1]).fingerprint != base


def test_an_image_that_changes_between_passes_is_noticed(write_image, tmp_path):
    write_image("a.png", seed=1)
    image_set = open_images(tmp_path, size=8)
    list(image_set)
    write_image("a.png", seed=2)
    with pytest.raises(
        RobustcheckError, match=r"image 'a.png' has changed since it was first read in this run"
    ):
        list(image_set)


def test_reading_keeps_a_bound_on_what_is_ahead_of_the_consumer():
    image_set, read = counted(400)
    stream = image_set.batches(4)
    for taken in range(1, 11):
        next(stream)
        assert sum(read.reads) <= 4 * taken + 64
    stream.close()
    assert sum(read.reads) <= 4 * 10 + 64
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("robustcheck-images")]


def test_arrays_given_are_not_shared():
    pixels = arrays(2)
    image_set = ImageSet.from_arrays(pixels)
    before = image_set.ids
    pixels[:] = 0
    assert next(iter(image_set)).ids == before
    next(iter(image_set)).pixels.zero_()
    assert next(iter(image_set)).ids == before
    with pytest.raises(ValueError, match="read-only"):
        image_set.labels[0] = 3


def test_a_subset_keeps_what_is_known_of_its_images():
    image_set, read = counted(5)
    image_set.ids  # noqa: B018 - it decodes
    chosen = image_set.subset([3, 1])
    assert chosen.ids == (image_set.ids[3], image_set.ids[1])
    assert chosen.labels.tolist() == [3, 1]
    assert chosen.names == ("3.png", "1.png")
    assert read.reads == [1] * 5
    (batch,) = chosen
    assert batch.pixels.numpy().tobytes() == read.pixels[[3, 1]].tobytes()
    assert chosen.subset([1]).names == ("1.png",)


def test_a_limit_draws_a_seeded_random_subset_in_set_order(write_image, tmp_path):
    for i in range(12):
        write_image(f"{i:02}.png")
    drawn = [open_images(tmp_path, size=8, limit=5, seed=seed).names for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3
    assert all(list(names) == sorted(set(names)) and len(names) == 5 for names in drawn)
    assert len(open_images(tmp_path, size=8, limit=99)) == 12
    with pytest.raises(RobustcheckError, match="limit must be >= 1 image, got 0"):
        open_images(tmp_path, size=8, limit=0)


def test_every_image_has_the_same_chance_under_a_limit():
    image_set = ImageSet.from_arrays(arrays(10))
    drawn = np.zeros(10, int)
    for seed in range(400):
        names = image_set.sample(3, seed=seed).names
        drawn[[int(name.split()[1]) for name in names]] += 1
    assert drawn.sum() == 1200
    assert 80 < drawn.min() <= drawn.max() < 160  # 120 expected, standard deviation 9


def test_an_image_set_can_be_sent_to_another_process(photographs):
    image_set = open_images(photographs, size=16).subset([2, 0])
    for sent in (
        pickle.loads(pickle.dumps(image_set)),
        pickle.loads(pickle.dumps(ImageSet.from_arrays(arrays(2)))),
    ):
        assert len(sent.ids) == 2
    assert pickle.loads(pickle.dumps(image_set)).ids == image_set.ids


def test_labels_outside_the_classes_are_named():
    image_set = ImageSet.from_arrays(arrays(5), labels=[0, 12, -1, 10, 3], names=list("abcde"))
    image_set.check_labels(13)
    with pytest.raises(
        RobustcheckError,
        match="labels of arrays must be among the classifier's 10 classes, 0 to 9, got 2 of 5 outside: b has 12, d has 10; the",
    ):
        image_set.check_labels(10)


def test_labels_are_there_only_if_every_image_has_one():
    assert ImageSet.from_arrays(arrays(2), labels=[0, 1]).has_labels
    assert not ImageSet.from_arrays(arrays(2), labels=[0, -1]).has_labels
    assert repr(ImageSet.from_arrays(arrays(2))) == "<ImageSet arrays: 2 images, without labels>"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pixels": arrays(2).astype(np.float32)},
            r"pixels must be uint8 \(N, 3, H, W\), N >= 1, got float32 of shape \(2, 3, 5, 4\)",
        ),
        ({"pixels": arrays(2)[0]}, r"got uint8 of shape \(3, 5, 4\)"),
        ({"pixels": arrays(2).transpose(0, 2, 3, 1)}, r"of shape \(2, 5, 4, 3\)"),
        ({"pixels": arrays(2)[:0]}, r"of shape \(0, 3, 5, 4\)"),
        (
            {"labels": [1]},
            r"labels must be one integer for each of 2 images, -1 for none, got int64 of shape \(1,\)",
        ),
        ({"labels": [1.0, 2.0]}, r"got float64 of shape \(2,\)"),
        (
            {"labels": [True, False]},
            r"got bool of shape \(2,\): give int\(label\) for each, with True as class 1",
        ),
        ({"labels": torch.tensor([True, False])}, r"got bool of shape \(2,\): give int\(label\) for each"),
        ({"labels": [1.0, 2.0]}, r"of shape \(2,\): give int\(label\) for each"),
        ({"labels": [[0, 1], [1, 0]]}, r"of shape \(2, 2\): of one-hot labels give labels.argmax\(1\)"),
        ({"labels": [[0], [1]]}, r"of shape \(2, 1\): give labels\[:, 0\]"),
        (
            {"labels": [0, None]},
            r"got object of shape \(2,\): number the classes from 0, and give -1 for None",
        ),
        ({"labels": ["cat", "dog"]}, r"of shape \(2,\): number the classes from 0"),
        ({"labels": np.array([0, 2**64 - 1], np.uint64)}, "or -1 for none, got 18446744073709551615"),
        ({"labels": [0, -2]}, "labels must be class indices from 0, or -1 for none, got -2"),
        ({"names": ["a"]}, "names must be one for each of 2 images, got 1"),
    ],
)
def test_arrays_that_are_no_images_are_refused(options, message):
    with pytest.raises(RobustcheckError, match=message):
        ImageSet.from_arrays(**{"pixels": arrays(2), **options})


@pytest.mark.parametrize(
    ("size", "order", "message"),
    [
        (0, None, "batch size must be >= 1, got 0"),
        (2, [0, 3], "positions must be from 0 to 2, got 0 to 3"),
        (2, [-1], "positions must be from 0 to 2, got -1 to -1"),
        (2, [0.5], "positions must be one row of integers, got float64 of shape"),
        (2, [[0]], r"got int64 of shape \(1, 1\)"),
    ],
)
def test_a_wrong_order_is_refused_at_the_call(size, order, message):
    with pytest.raises(RobustcheckError, match=message):
        ImageSet.from_arrays(arrays(3)).batches(size, order)


def test_images_in_memory_are_no_name():
    with pytest.raises(RobustcheckError, match=r"not by ndarray; images in memory: ImageSet.from_arrays"):
        open_images(arrays(2), size=8)


def test_an_empty_order_gives_no_batches():
    assert list(ImageSet.from_arrays(arrays(3)).batches(2, [])) == []
