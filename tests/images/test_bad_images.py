"""One of each mess in a folder, listed, named, counted and left out."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from PIL import Image

from robustcheck import ImageSet, RobustcheckError
from robustcheck.images import open_images
from robustcheck.images.decoding import BadImage


@pytest.fixture
def messy(write_image, tmp_path):
    """Four good images, and one of each kind that can't be read."""
    for name in ("good/a.png", "good/b.jpg", "good/c.webp"):
        write_image(name, seed=len(name))
    Image.new("CMYK", (20, 20), (9, 99, 199, 50)).save(tmp_path / "good" / "d.jpg")
    bad = tmp_path / "odd"
    bad.mkdir()
    (bad / "empty.jpg").write_bytes(b"")
    (bad / "text.jpg").write_text("<html>404</html>")
    (bad / "noise.png").write_bytes(bytes(range(256)))
    whole = (tmp_path / "good" / "a.png").read_bytes()
    (bad / "cut.png").write_bytes(whole[: len(whole) // 2])
    (bad / "gone.png").symlink_to(bad / "nowhere.png")
    (bad / "circle.png").symlink_to(bad / "circle.png")
    Image.fromarray(np.full((9, 9), 7, np.float32)).save(bad / "float.tif")
    Image.new("1", (12_000, 12_000)).save(bad / "bomb.png")
    (bad / "pointer.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1")
    return tmp_path


BAD = {
    "bomb.png": "is 12000x12000, a decompression bomb: 144,000,000 pixels, more than the limit of",
    "circle.png": "is a link to itself",
    "cut.png": "cannot be decoded (",
    "empty.jpg": "is empty (0 bytes)",
    "float.tif": "has more than 8 bits a sample",
    "gone.png": "does not exist, or is a broken link",
    "noise.png": "cannot be decoded: Pillow finds no image",
    "pointer.jpg": "is a pointer of Git LFS",
    "text.jpg": "is text, not an image: it begins with b'<html>404</html>'"[:30],
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_error_names_them_all_with_the_reason(messy):
    with pytest.raises(RobustcheckError) as caught:
        list(open_images(messy, size=8))
    message = str(caught.value)
    assert message.startswith(f"9 of 13 images of {messy} are bad: ")
    for name, reason in BAD.items():
        assert f"odd/{name} {reason}" in message
    assert message.endswith("--robustcheck-bad-images=skip")


def test_up_to_ten_are_named_and_the_rest_counted(tmp_path):
    for index in range(14):
        (tmp_path / f"{index:02}.png").write_bytes(b"")
    with pytest.raises(
        RobustcheckError, match=r"14 of 14 images .*09.png is empty \(0 bytes\); and 4 more\. Repair"
    ) as caught:
        open_images(tmp_path, size=8).ids  # noqa: B018
    assert "10.png" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_without_them_the_others_are_a_set_that_says_what_it_lacks(messy):
    images = open_images(messy, size=8).readable()
    assert images.names == ("good/a.png", "good/b.jpg", "good/c.webp", "good/d.jpg")
    assert images.labels.tolist() == [0, 0, 0, 0]
    assert len(images.skipped) == 9
    line = str(images.provenance(complete=True))
    assert line.startswith(f"{messy}, 4 images, 9 bad ones skipped (odd/bomb.png is 12000x12000")
    assert "and 4 more)" in line
    assert images.subset([0, 1]).skipped == images.skipped
    assert images.readable() is images


def test_a_set_of_none_but_bad_images_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(RobustcheckError, match=r"none of the 1 images of .* can be read: a.png is empty"):
        open_images(tmp_path, size=8).readable()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_an_image_that_may_not_be_read_is_named(write_image, monkeypatch):
    path = write_image("a.png")
    real_open = os.open

    def refuse(source, *flags):  # root may read everything, so the system's answer is put in its place
        if source == path:
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(source, *flags)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BadImage, match=r"a.png' can't be read by this user"):
        list(open_images(path.parent, size=8))


def test_images_in_memory_are_never_bad():
    images = ImageSet.from_arrays(np.zeros((3, 3, 8, 8), np.uint8))
    assert images.readable() is images


def test_duplicate_images_are_reported(write_image, tmp_path):
    for name in ("cat/a.png", "cat/b.png", "dog/c.png"):
        write_image(name, seed=1)
    write_image("dog/d.png", seed=2)
    images = open_images(tmp_path, size=8)
    assert str(images.provenance(complete=False)) == f"{tmp_path}, 4 images"
    assert str(images.provenance(complete=True)).endswith(
        "2 duplicate images, 1 of them under another label (cat/a.png = cat/b.png, cat/a.png = dog/c.png)"
    )


def test_a_million_files_are_listed_without_opening_one(monkeypatch, tmp_path):
    class Entry:
        __slots__ = ("name",)

        def __init__(self, name):
            self.name = name

        def is_dir(self):
            return False

    class Scan(list):
        def __enter__(self):
            return iter(self)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", lambda _: Scan(Entry(f"{index:07}.jpg") for index in range(10**6)))
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("an image was opened"))
    images = open_images(tmp_path, size=8)
    assert len(images) == 10**6
    assert images.names[-1] == "0999999.jpg"
    assert len(images.sample(100, seed=1)) == 100


def test_formats_that_are_not_read_are_said_to_be_left_out(write_image, tmp_path):
    write_image("cat/a.png")
    for name in ("b.HEIC", "c.jxl"):
        (tmp_path / "cat" / name).write_bytes(b"")
    with pytest.warns(
        UserWarning,
        match=r"2 file\(s\) of an unsupported format are skipped, such as 'b.HEIC' \(.heic .jxl\)",
    ):
        assert len(open_images(tmp_path, size=8)) == 1


def test_a_link_to_itself_that_is_no_image_is_passed_over(write_image, tmp_path):
    write_image("cat/a.png")
    (tmp_path / "cat" / "loop").symlink_to("loop")
    (tmp_path / "loop").symlink_to("loop")
    assert open_images(tmp_path, size=8).names == ("cat/a.png",)


@pytest.mark.parametrize("location", ["x" * 5000, "a\0b"])
def test_names_that_can_be_no_path_are_refused(location):
    with pytest.raises(RobustcheckError, match=r"no such folder|too long for a name or a path"):
        open_images(location, size=8)


# A part of the set


def labelled(*sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 3, 8, 8), dtype=np.uint8)
    return ImageSet.from_arrays(pixels, np.random.default_rng(1).permutation(labels))


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ((50, 30, 20), 10, [5, 3, 2]),
        ((10, 10, 10), 4, None),
        ((97, 1, 1, 1), 4, [1, 1, 1, 1]),
        ((97, 1, 1, 1), 10, [7, 1, 1, 1]),
        ((5, 5), 10, [5, 5]),
    ],
)
def test_a_stratified_part_has_each_class_in_its_share(sizes, count, expected):
    images = labelled(*sizes)
    drawn = [images.sample(count, seed=seed, stratified=True) for seed in range(5)]
    for part in drawn:
        got = np.bincount(part.labels, minlength=len(sizes)).tolist()
        assert sum(got) == count
        assert max(got) - min(got) <= 1 if expected is None else got == expected
    assert images.sample(count, seed=3, stratified=True).ids == drawn[3].ids
    if count < len(images):
        assert len({part.ids for part in drawn}) > 1
        assert str(drawn[0].provenance(complete=False)).endswith("stratified")


def test_every_image_of_a_class_is_drawn_as_often():
    images = labelled(6, 3)
    seen = np.zeros(9)
    for seed in range(600):
        chosen = images.sample(3, seed=seed, stratified=True)
        seen[[images.ids.index(each) for each in chosen.ids]] += 1
    assert (np.abs(seen - 200) < 5 * np.sqrt(200)).all()


def test_a_part_by_class_needs_labels():
    images = ImageSet.from_arrays(np.zeros((3, 3, 8, 8), np.uint8))
    with pytest.raises(
        RobustcheckError, match=r"--robustcheck-stratify needs a label for every image, and .* have none"
    ):
        images.sample(2, stratified=True)
