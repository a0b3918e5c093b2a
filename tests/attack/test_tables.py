"""Hostile tables of images: an error of ours, or the images that they list, within bounds of time and memory."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from robustcheck import open_images
from tests.attack.bounded import outcomes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and reads /proc")


def read(path: str) -> object:
    """What the child does: open a table, five images of it."""
    images = open_images(path, size=8, limit=5)
    return len(images), images.names[0][:9], images.labels.tolist()


def make_texts(folder: Path) -> None:
    with (folder / "sparse.csv").open("wb") as file:
        file.truncate(3 * 10**9)
    with (folder / "sparse.parquet").open("wb") as file:
        file.truncate(3 * 10**9)
    (folder / "long_line.csv").write_bytes(b"path,label\n" + b"a" * 1_000_000 + b",1\n")
    (folder / "wide.csv").write_bytes(b"," * 1_000_000 + b"\na,1\n")
    (folder / "zeros.tsv").write_bytes(b"path\tlabel\n\0\0\t1\n")
    (folder / "quotes.csv").write_bytes(b'path,label\n"' + b'""' * 1_000_000 + b"\n")


def make_special(folder: Path) -> None:
    for suffix in ("csv", "tsv", "parquet"):
        os.mkfifo(folder / f"fifo.{suffix}")
        (folder / f"zero.{suffix}").symlink_to("/dev/zero")
        (folder / f"link.{suffix}").symlink_to("fifo.csv")
    here = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/socket.csv")  # a socket's path must be short
    os.close(here)


def make_parquet(folder: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def write(name, columns, **settings):
        parquet.write_table(
            pyarrow.table(columns), folder / f"{name}.parquet", compression="zstd", **settings
        )

    few, paths = 200_000, pyarrow.array([f"{row}.png" for row in range(200_000)])
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * few, pyarrow.int32()), ["p" * 17_500])
    write("other_column", {"path": paths, "label": [1] * few, "extra": text})
    write("one_path", {"path": text, "label": [1] * few})
    block = pyarrow.array(["q" * 100_000] * 5_000)
    large = pyarrow.chunked_array([block] * 3)
    write("unpacked", {"path": large, "label": [1] * 15_000}, use_dictionary=False)
    many = pyarrow.DictionaryArray.from_arrays(pyarrow.nulls(21_000_000, pyarrow.int8()), ["a"])
    write("rows", {"path": many})
    write("lists", {"path": ["a.png"], "label": [[1, 2]]})
    write("structs", {"path": [{"path": "a.png"}], "label": [1]})
    for name, cut in {"cut": slice(-9), "turned": slice(None, None, -1)}.items():
        (folder / f"{name}.parquet").write_bytes((folder / "lists.parquet").read_bytes()[cut])


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What became of each table, by its name."""
    root = tmp_path_factory.mktemp("hostile")
    make_texts(root)
    make_special(root)
    make_parquet(root)
    made = outcomes("tests.attack.test_tables:read", sorted(root.iterdir()))
    assert len(made) == len(list(root.iterdir()))
    return {Path(path).name: text for path, text in made.items()}


def test_columns_that_are_not_needed_cost_nothing(said):
    assert said["other_column.parquet"].endswith(".png', [1, 1, 1, 1, 1])")


def test_a_path_that_is_repeated_is_kept_once(said):
    assert said["one_path.parquet"] == "(5, 'ppppppppp', [1, 1, 1, 1, 1])"


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("sparse.csv", "table-bytes"),
        ("unpacked.parquet", "table-bytes"),
        ("rows.parquet", "table-rows"),
    ],
)
def test_tables_beyond_the_limits_name_the_option(said, name, limit):
    assert said[name].startswith("RobustcheckError: /"), said[name]
    assert f"--robustcheck-input-limits={limit}:" in said[name]


@pytest.mark.parametrize("kind", ["fifo", "zero", "link", "socket"])
def test_what_is_no_regular_file_is_refused(said, kind):
    texts = [text for name, text in said.items() if name.startswith(f"{kind}.")]
    assert texts
    for text in texts:
        assert text.startswith("RobustcheckError: "), text
        assert "not a regular file" in text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sparse.parquet", "can't be read as Parquet"),
        ("cut.parquet", "can't be read as Parquet"),
        ("turned.parquet", "can't be read as Parquet"),
        ("lists.parquet", "line 1: label must be a class index"),
        ("structs.parquet", "line 1: path must be that of an image"),
        ("long_line.csv", "can't be read as a table"),
        ("wide.csv", "has no column of paths"),
        ("zeros.tsv", "line 2: path must be that of an image"),
        ("quotes.csv", "can't be read as a table"),
    ],
)
def test_damaged_tables_are_refused(said, name, message):
    assert said[name].startswith("RobustcheckError: "), said[name]
    assert message in said[name]
