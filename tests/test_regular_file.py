"""Only regular files are opened, and nothing waits."""

import os
import socket
from pathlib import Path

import pytest

from robustcheck.regular_file import NotRegularFile, open_regular, read_regular, read_regular_text

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")


@pytest.fixture
def make(tmp_path, monkeypatch):
    def one(kind):
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        path = Path("it")
        if kind == "a FIFO":
            os.mkfifo(path)
        elif kind == "a socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
        elif kind == "a folder":
            path.mkdir()
        else:
            path.symlink_to({"a link to a FIFO": "fifo"}.get(kind, f"/dev/{kind.split()[-1]}"))
            os.mkfifo("fifo")
        return path

    return one


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("a FIFO", "is a FIFO"),
        ("a link to a FIFO", "is a FIFO"),
        ("a socket", "is a socket"),
        ("a folder", "is a folder"),
        ("a link to zero", "is a character device"),
        ("a link to null", "is a character device"),
        ("a link to tty", "is a character device"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(make, kind, said):
    path = make(kind)
    with pytest.raises(NotRegularFile, match=said) as raised:
        open_regular(path)
    assert isinstance(raised.value, OSError)
    assert raised.value.strerror.endswith("not a regular file")


def test_files_and_links_to_them_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"one\r\ntwo\n")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link") == b"one\r\ntwo\n"
    assert read_regular(tmp_path / "link", 2) == b"on"
    assert read_regular_text(tmp_path / "file") == "one\ntwo\n"


def test_errors_of_other_kinds_are_those_of_open(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "loop")
