from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from robustcheck import RobustcheckError, RobustnessWarning
from robustcheck.images import open_images


def test_sub_folders_are_classes_in_the_order_of_their_names(photographs):
    image_set = open_images(photographs, size=32)
    assert image_set.class_names == ("astronaut", "cat", "coffee", "rocket")
    assert image_set.names == (
        "astronaut/astronaut.jpg",
        "cat/chelsea.jpg",
        "coffee/coffee.jpg",
        "rocket/rocket.jpg",
    )
    assert image_set.labels.tolist() == [0, 1, 2, 3]
    assert image_set.labels.dtype == np.int64
    assert image_set.has_labels
    assert image_set.name == str(photographs)


def test_the_same_images_and_labels_as_torchvisions_folder(write_image, tmp_path):
    for name in (
        "b/2.png",
        "b/1.PNG",
        "b/deep/er/3.png",
        "a/x.jpg",
        "a/.hidden.jpg",
        "C/7.webp",
        "b/notes.txt",
        "a/y.JPEG",
    ):
        if name.endswith("txt"):
            (tmp_path / name).write_text("not an image")
        else:
            write_image(name)
    ours = open_images(tmp_path, size=8)
    theirs = [(path, label) for path, label in ImageFolder(str(tmp_path)).samples if "hidden" not in path]
    assert [str(tmp_path / name) for name in ours.names] == [path for path, _ in theirs]
    assert ours.labels.tolist() == [label for _, label in theirs]
    assert ours.class_names == ("C", "a", "b")


def test_a_flat_folder_has_no_labels(write_image, tmp_path):
    for name in ("b.png", "a.png", "empty folder/notes.txt"):
        write_image(name) if name.endswith("png") else (tmp_path / "empty folder").mkdir()
    image_set = open_images(tmp_path, size=8)
    assert image_set.names == ("a.png", "b.png")
    assert image_set.labels.tolist() == [-1, -1]
    assert image_set.class_names is None
    assert not image_set.has_labels


def test_a_folder_without_images_would_shift_the_classes(write_image, tmp_path):
    write_image("c/1.png")
    write_image("a/1.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(RobustcheckError, match=r"folders without images \(b\)"):
        open_images(tmp_path, size=8)


def test_a_folder_whose_name_ends_like_an_images_is_a_folder(write_image, tmp_path):
    write_image("cat.jpg/1.png")
    image_set = open_images(tmp_path, size=8)
    assert image_set.class_names == ("cat.jpg",)
    assert len(image_set.ids) == 1


def test_hidden_folders_are_no_classes(write_image, tmp_path):
    write_image(".thumbnails/1.png")
    write_image("cat/1.png")
    write_image("cat/.old/2.png")
    image_set = open_images(tmp_path, size=8)
    assert image_set.names == ("cat/1.png",)
    assert image_set.class_names == ("cat",)


def test_images_beside_class_folders_are_left_out_and_that_is_said(write_image, tmp_path):
    write_image("cat/1.png")
    write_image("preview.png")
    with pytest.warns(
        RobustnessWarning,
        match=r"has class folders, so 1 image\(s\) beside them are skipped, such as 'preview",
    ):
        assert len(open_images(tmp_path, size=8)) == 1


def test_links_in_a_circle_end(write_image, tmp_path):
    write_image("cat/1.png")
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat")
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    image_set = open_images(tmp_path, size=8)
    assert image_set.names == ("cat/1.png",)


def test_a_link_up_brings_no_images_of_other_classes(write_image, tmp_path):
    write_image("set/cat/1.png")
    write_image("set/dog/2.png")
    for name, target in (("up", ".."), ("further", "../.."), ("absolute", tmp_path / "set")):
        (tmp_path / "set" / "dog" / name).symlink_to(target)
    image_set = open_images(tmp_path / "set", size=8)
    assert image_set.names == ("cat/1.png", "dog/2.png")


def test_links_to_images_and_folders_are_followed(write_image, tmp_path):
    image = write_image("store/1.png")
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "cat" / "link.png").symlink_to(image)
    (tmp_path / "set" / "dog").symlink_to(tmp_path / "store")
    image_set = open_images(tmp_path / "set", size=8)
    assert image_set.names == ("cat/link.png", "dog/1.png")
    assert len(set(image_set.ids)) == 1


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="names there are always text")
def test_names_that_are_no_text_can_be_printed(write_image, tmp_path):
    image = write_image("plain.png")
    image.rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    image_set = open_images(tmp_path, size=8)
    assert image_set.names == ("caf\\xe9.png",)
    assert len(image_set.ids) == 1


@pytest.mark.parametrize("made", ["nothing", "empty folders", "other files"])
def test_a_folder_without_images_is_refused(tmp_path, made):
    if made == "empty folders":
        (tmp_path / "cat").mkdir()
    if made == "other files":
        (tmp_path / "cat").mkdir()
        (tmp_path / "cat" / "notes.txt").write_text("no image")
    with pytest.raises(RobustcheckError, match=r"no images in .* or its sub-folders: .* \.bmp .*\.jpg"):
        open_images(tmp_path, size=8)


def test_a_folder_that_is_not_there_is_refused(tmp_path, write_image):
    with pytest.raises(RobustcheckError, match=r"images '.*nowhere': no such folder \(in .*\); give"):
        open_images(tmp_path / "nowhere", size=8)
    with pytest.raises(
        RobustcheckError, match=r"images must be a folder or a table .*, got the file '.*a.png'"
    ):
        open_images(str(write_image("a.png")), size=8)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path):
    tmp_path.chmod(0)
    try:
        with pytest.raises(RobustcheckError, match="cannot be listed: Permission denied"):
            open_images(tmp_path, size=8)
    finally:
        tmp_path.chmod(0o700)
