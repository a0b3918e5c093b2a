"""Images from where people keep them: ImageNet's layouts, folders, tables, datasets."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from robustcheck import RobustcheckError
from robustcheck.images import open_images
from robustcheck.images.decoding import resize_and_crop
from robustcheck.models import Preprocessing

RULE = Preprocessing.for_size(8)


def pixels_of(images):
    return torch.cat([batch.pixels for batch in images])


# ImageNet


def test_imagenet_in_torchvisions_layout(write_image, tmp_path):
    for wnid in ("n01440764", "n02119789", "n15075141"):
        write_image(f"val/{wnid}/a.JPEG", seed=len(wnid))
    for location in (tmp_path, tmp_path / "val"):
        images = open_images(f"imagenet:{location}", size=8)
        assert images.labels.tolist() == [0, 278, 999]
        assert len(images.class_names) == 1000
        assert images.names == ("n01440764/a.JPEG", "n02119789/a.JPEG", "n15075141/a.JPEG")


@pytest.mark.parametrize("layout", ["val", "ILSVRC2012_img_val", "."])
@pytest.mark.parametrize("truth", [".", "ILSVRC2012_devkit_t12/data"])
def test_imagenet_in_one_folder_with_the_devkits_ground_truth(write_image, tmp_path, layout, truth):
    for number in (1, 2, 4):
        write_image(f"{layout}/ILSVRC2012_val_{number:08}.JPEG")
    (tmp_path / truth).mkdir(parents=True, exist_ok=True)
    (tmp_path / truth / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n449\n7\n1000\n")
    images = open_images(f"imagenet:{tmp_path}", size=8)
    assert images.labels.tolist() == [278, 0, 543]  # kit fox, tench, dumbbell
    assert len(images.ids) == 3


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "does not hold ImageNet's validation images: looked in val, "),
        (
            ["val/ILSVRC2012_val_00000001.JPEG"],
            "without their labels: put ILSVRC2012_validation_ground_truth.txt",
        ),
        (
            ["val/n01440764/a.jpg", "val/n01440765/a.jpg"],
            "unknown WordNet id 'n01440765': did you mean 'n014",
        ),
        (
            ["val/ILSVRC2012_val_00000009.JPEG", "truth:1"],
            "00000009.JPEG must have a line in the ground truth, which has 1",
        ),
        (
            ["val/ILSVRC2012_val_00000001.JPEG", "truth:1\n0"],
            "truth.txt, line 2: a class must be an integer from 1 to 1000, got '0'",
        ),
        (
            ["val/ILSVRC2012_val_00000001.JPEG", "val/b.jpg", "truth:1"],
            "1 images that the ground truth has no label for, such as 'b",
        ),
    ],
)
def test_what_is_not_imagenet_says_what_is_missing(write_image, tmp_path, files, message):
    for name in files:
        if name.startswith("truth:"):
            (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text(name[6:])
        else:
            write_image(name)
    with pytest.raises(RobustcheckError, match=re.escape(message)):
        open_images(f"imagenet:{tmp_path}", size=8)


def test_a_root_that_is_not_there_is_named():
    for location in ("nowhere", ""):
        with pytest.raises(RobustcheckError, match=f"images 'imagenet:{location}': no such folder"):
            open_images(f"imagenet:{location}", size=8)
    with pytest.raises(RobustcheckError, match=r"did you mean imagenet:\.\.\.\?"):
        open_images("imagnet:nowhere", size=8)


# Folders


def test_relative_folders_are_meant_from_where_they_were_opened(photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(photographs.parent)
    images = open_images(photographs.name, size=8)
    monkeypatch.chdir(tmp_path)
    assert len(pixels_of(images)) == 4
    assert images.name == photographs.name


# Tables


@pytest.fixture
def listed(write_image, tmp_path):
    for name in ("in/a.png", "in/b.png", "c.png"):
        write_image(name)

    def write(text, name="list.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(
    ("text", "name", "query"),
    [
        ("path,label\nin/a.png,3\nin/b.png,0\nc.png,\n", "list.csv", ""),
        ("\ufeffLabel,Filename\n3,in/a.png\n\n0,in/b.png\n-1,c.png\n", "list.csv", ""),
        ("image\tclass\nin/a.png\t3\nin/b.png\t0\nc.png\t-1\n", "list.tsv", ""),
        ("where,what,label\nin/a.png,3,9\nin/b.png,0.0,9\nc.png,,9\n", "list.csv", "?path=where&label=what"),
    ],
)
def test_a_manifest_lists_paths_and_class_indices(listed, tmp_path, text, name, query):
    images = open_images(listed(text, name) + query, size=8)
    assert images.labels.tolist() == [3, 0, -1]
    assert images.names == ("in/a.png", "in/b.png", "c.png")
    alone = open_images(tmp_path / "in", size=8)
    assert pixels_of(images)[:2].equal(pixels_of(alone))


def test_class_names_in_a_manifest_are_numbered_in_their_order(listed, tmp_path):
    images = open_images(listed(f"path,label\nin/a.png,dog\n{tmp_path}/c.png,cat\nin/b.png,dog\n"), size=8)
    assert images.labels.tolist() == [1, 0, 1]
    assert images.class_names == ("cat", "dog")


def test_parquet_is_read(listed, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(
        pyarrow.table({"path": ["in/a.png", "c.png"], "label": [4, None]}), tmp_path / "a.parquet"
    )
    assert open_images(tmp_path / "a.parquet", size=8).labels.tolist() == [4, -1]
    (tmp_path / "b.parquet").write_bytes(b"PAR1 junk")
    with pytest.raises(RobustcheckError, match=r"b.parquet can't be read as Parquet: "):
        open_images(tmp_path / "b.parquet", size=8)
    parquet.write_table(pyarrow.table({"path": ["a", None]}), tmp_path / "c.parquet")
    with pytest.raises(RobustcheckError, match=r"c.parquet, line 2: path must be .*, got None"):
        open_images(tmp_path / "c.parquet", size=8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: give a header"),
        ("path,label\n", "must list images, got only a header"),
        (
            "where,label\na.png,1\n",
            "has no column of paths: its columns are where, label; call one path, or name it: ",
        ),
        ("path;label\na.png;1\n", "its columns are path;label; separate them with commas"),
        ("path\tlabel\na.png\t1\n", "separate them with commas, or with tabs in a .tsv"),
        ("p\0a\0t\0h\0,\0l\0", "it has zero bytes, as UTF-16 has: save it as UTF-8"),
        (
            "path,label\nhttps://example.org/a.png,1\n",
            "got the address 'https://example.org/a.png': nothing is",
        ),
        (
            "path,label\nfile:///a.png,1\n",
            "line 2: path must be that of a file, got the address 'file:///a.png'",
        ),
        ("path,label\ns3://bucket/a.png,1\n", "got the address 's3://bucket/a.png'"),
        ("path,label\na.png,1\nb.png\n", "list.csv, line 3 must have 2 cells (path, label), got 1"),
        (
            "path,label\na.png,1\nb.png,dog\n",
            "labels must be all class indices or all class names, got 'dog' in ",
        ),
        (
            "path,label\na.png,1\nb.png,-2\n",
            "line 3: label must be a class index, an integer >= 0, or -1 for none, got '-2'",
        ),
        ("path,label\n,1\n", "line 2: path must be that of an image, from the table's folder, got ''"),
        ('path,label\n"a.png,1\n', "can't be read as a table: "),
    ],
)
def test_a_table_that_is_wrong_names_the_line(listed, text, message):
    with pytest.raises(RobustcheckError, match=re.escape(message)):
        open_images(listed(text), size=8)


def test_columns_and_settings_that_are_not_there_are_named(listed):
    path = listed("path,label\nin/a.png,1\n")
    with pytest.raises(
        RobustcheckError, match=r"unknown column of .*list.csv for the label, 'lable': did you mean 'label'"
    ):
        open_images(f"{path}?label=lable", size=8)
    with pytest.raises(RobustcheckError, match=r"unknown setting of images .*, 'pth': did you mean 'path'"):
        open_images(f"{path}?pth=x", size=8)
    with pytest.raises(RobustcheckError, match=r"no file nowhere.csv"):
        open_images("nowhere.csv", size=8)


def test_a_table_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes("path\ncafé.png".encode("latin-1"))
    with pytest.raises(
        RobustcheckError, match=r"a.csv must be UTF-8 text, got byte 0xe9 at 8; save it as UTF-8"
    ):
        open_images(tmp_path / "a.csv", size=8)


def test_a_path_in_a_table_that_leads_nowhere_is_a_bad_image(listed):
    images = open_images(listed("path\nin/a.png\ngone.png\n"), size=8)
    with pytest.raises(RobustcheckError, match=r"image '.*gone.png' does not exist"):
        pixels_of(images)
    assert images.readable().names == ("in/a.png",)


# The library datasets


@pytest.fixture
def library():
    return pytest.importorskip("datasets")


def table(library, count=6, **columns):
    features = {"image": library.Image(), "label": library.ClassLabel(names=["cat", "dog", "cow"])}
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 256, (12, 10, 3), dtype=np.uint8)) for _ in range(count)]
    data = {"image": pictures, "label": [index % 3 for index in range(count)], **columns}
    for name in columns:
        features[name] = library.Value("string")
    return library.Dataset.from_dict(data, features=library.Features(features))


@pytest.mark.parametrize("settings", ["", "?streaming=yes"])
def test_a_dataset_on_disk_is_read_by_its_splits(library, tmp_path, settings):
    library.DatasetDict({"train": table(library, 9), "test": table(library)}).save_to_disk(tmp_path / "set")
    images = open_images(f"hf:{tmp_path}/set{settings}", size=8, limit=6)
    assert len(images) == 6
    assert images.class_names == ("cat", "dog", "cow")
    assert sorted(images.labels.tolist()) == [0, 0, 1, 1, 2, 2]
    assert images.name == f"hf:{tmp_path}/set:test"
    random = np.random.default_rng(0)
    theirs = [random.integers(0, 256, (12, 10, 3), dtype=np.uint8) for _ in range(6)]
    ours = {array.tobytes() for array in pixels_of(images).numpy()}
    assert ours == {resize_and_crop(Image.fromarray(array), RULE).tobytes() for array in theirs}
    assert len(open_images(f"hf:{tmp_path}/set:train{settings}", size=8, limit=20)) == 9


def test_a_folder_of_parquet_files_is_a_dataset(library, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    table(library).to_parquet(tmp_path / "set" / "test-00000-of-00001.parquet")
    for settings in ("", "?streaming=yes"):
        images = open_images(f"hf:{tmp_path}/set:test{settings}", size=8, limit=4)
        assert len(images) == len(set(images.ids)) == 4
        assert images.class_names == ("cat", "dog", "cow")
    whole = open_images(f"hf:{tmp_path}/set:test", size=8)
    for part, ids in (("[:2]", whole.ids[:2]), ("[2:4]", whole.ids[2:4]), ("[:50%]", whole.ids[:3])):
        images = open_images(f"hf:{tmp_path}/set:test{part}", size=8)
        assert images.name == f"hf:{tmp_path}/set:test{part}"
        assert images.ids == ids
    both = open_images(f"hf:{tmp_path}/set:test[:1]+test[3:]?label=label", size=8)
    assert both.ids == (*whole.ids[:1], *whole.ids[3:])
    with pytest.raises(RobustcheckError, match=r"unknown split .* 'tset"):
        open_images(f"hf:{tmp_path}/set:tset[:2]", size=8)


def test_what_a_dataset_is_drawn_by_is_the_seed(library, tmp_path):
    table(library, 30).save_to_disk(tmp_path / "set")
    one, same, other = (open_images(f"hf:{tmp_path}/set", size=8, limit=5, seed=seed) for seed in (1, 1, 2))
    assert one.ids == same.ids != other.ids
    assert len(open_images(f"hf:{tmp_path}/set", size=8, limit=6, stratified=True)) == 6
    stream = open_images(f"hf:{tmp_path}/set?streaming=yes", size=8, limit=5)
    assert "the first 5 of the stream, shuffled by shards and 1000 at a time" in str(
        stream.provenance(complete=False)
    )


def test_a_picture_that_a_dataset_lacks_or_that_is_damaged_is_a_bad_image(library, tmp_path):
    features = library.Features({"image": library.Image(), "label": library.Value("string")})
    good = (tmp_path / "good.png", Image.new("RGB", (9, 9)))
    good[1].save(good[0])
    data = {"image": [{"bytes": good[0].read_bytes()}, {"bytes": b"junk"}, None], "label": ["a", "b", "a"]}
    library.Dataset.from_dict(data, features=features).save_to_disk(tmp_path / "set")
    images = open_images(f"hf:{tmp_path}/set", size=8)
    assert images.class_names == ("a", "b")
    with pytest.raises(
        RobustcheckError,
        match=r"2 of 3 images .* are bad: .*example 1 cannot be decoded.*example 2 is missing",
    ):
        pixels_of(images)
    assert len(images.readable()) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{set}:tset", "unknown split of .*, 'tset'|unknown split of .* 'tset': did you mean 'test'"),
        ("{set}:test[:2]", r"unknown split of .* 'test\[:2\]': did you mean 'test'"),
        ("{set}?image=label", "unknown column of .* for the image, 'label'"),
        ("{set}?label=lable", "unknown column of .* for the label, 'lable': did you mean 'label'"),
        ("{set}?streaming=maybe", "streaming must be yes or no, got 'maybe'"),
        ("{set}?streaming=yes", "add --robustcheck-limit=N"),
        ("{set}?imge=x", "unknown setting of images .* 'imge': did you mean 'image'"),
        (":test", "images must name a dataset, as in hf:cifar10:test"),
        ("{empty}", r"can't be loaded by the library datasets \(\w+: "),
    ],
)
def test_what_is_wrong_with_a_dataset_is_said(library, tmp_path, spec, message):
    library.DatasetDict({"test": table(library)}).save_to_disk(tmp_path / "set")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RobustcheckError, match=message):
        open_images("hf:" + spec.format(set=tmp_path / "set", empty=tmp_path / "empty"), size=8)


def test_a_dataset_without_pictures_is_refused(library, tmp_path):
    library.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "set")
    with pytest.raises(RobustcheckError, match=r"no column holds images: the columns are text \(Value\)"):
        open_images(f"hf:{tmp_path}/set", size=8)


def test_a_hub_that_cannot_be_reached_says_how_to_bring_the_dataset(library, monkeypatch):
    def refuse(*_args, **_options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(library, "get_dataset_split_names", refuse)
    with pytest.raises(
        RobustcheckError, match=r"\(no route to host\), .* hf download org/set --repo-type dataset"
    ):
        open_images("hf:org/set:test", size=8)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        RobustcheckError, match=r"need the library datasets, .*pip install 'pytest-robustcheck\[hf\]'"
    ):
        open_images("hf:cifar10", size=8)


def test_what_a_dataset_names_outside_its_folder_is_refused(library, write_image, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    write_image("secret.png")
    write_image("set/own.png")
    readme = tmp_path / "set" / "README.md"
    for path in ("../secret.png", str(tmp_path / "secret.png"), "own/../../*.png"):
        readme.write_text(
            f"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: {path}\n---\n"
        )
        with pytest.raises(
            RobustcheckError,
            match=r"name the file '.*secret.png' outside the dataset|can't be loaded|no such",
        ):
            open_images(f"hf:{tmp_path}/set", size=8)
    readme.unlink()
    assert len(open_images(f"hf:{tmp_path}/set", size=8)) == 1


def test_a_picture_of_a_dataset_outside_its_folder_is_a_bad_image(
    library, write_image, tmp_path, monkeypatch
):
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write_image("secret.png")
    given = [
        {"bytes": None, "path": str(tmp_path / "secret.png")},
        {"bytes": None, "path": f"{tmp_path}/set/../secret.png"},
    ]
    features = library.Features(
        {"image": {"bytes": library.Value("binary"), "path": library.Value("string")}}
    )
    (tmp_path / "set").mkdir()
    library.Dataset.from_dict({"image": given}, features=features).cast_column(
        "image", library.Image(decode=False)
    ).to_parquet(
        tmp_path / "set" / "test-00000-of-00001.parquet",
    )
    images = open_images(f"hf:{tmp_path}/set:test", size=8)
    with pytest.raises(RobustcheckError, match=r"2 of 2 images .* outside the dataset's folder"):
        pixels_of(images)
