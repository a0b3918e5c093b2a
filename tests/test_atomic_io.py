from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from robustcheck import RobustcheckError
from robustcheck.atomic_io import atomic_write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_permissions_are_the_umasks(tmp_path, umask):
    atomic_write(tmp_path / "new" / "a.csv", "text")
    assert mode(tmp_path / "new" / "a.csv") == 0o666 & ~umask
    assert mode(tmp_path / "new") == 0o777 & ~umask


def test_permissions_of_a_file_that_is_replaced_stay(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("before")
    path.chmod(0o640)
    atomic_write(path, b"after")
    assert path.read_text() == "after"
    assert mode(path) == 0o640


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "victim").write_text("theirs")
    (tmp_path / "a.csv").symlink_to(tmp_path / "victim")
    atomic_write(tmp_path / "a.csv", "ours")
    assert (tmp_path / "victim").read_text() == "theirs"
    assert not (tmp_path / "a.csv").is_symlink()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_what_fails_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.csv"
    path.write_text("before")

    def fail(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if failing == "fsync" else type(path), failing, fail)
    with pytest.raises(RobustcheckError, match=r"cannot write .*a.csv: No space left on device: check"):
        atomic_write(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_said(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(RobustcheckError, match=r"cannot write .*a.csv: Is a directory"):
        atomic_write(tmp_path / "a.csv", "text")
    (tmp_path / "file").write_text("")
    with pytest.raises(RobustcheckError, match=r"cannot write .*: (Not a directory|File exists)"):
        atomic_write(tmp_path / "file" / "a.csv", "text")


def refused(times, code):
    """Return a stand-in for `Path.replace` that is refused so many times, as Windows does it."""
    real, left = Path.replace, [times]

    def replace(self, target):
        if left[0]:
            left[0] -= 1
            error = PermissionError(13, "Access is denied")
            error.winerror = code
            raise error
        return real(self, target)

    return replace


@pytest.mark.parametrize("code", [5, 32], ids=["access-denied", "sharing-violation"])
def test_a_file_that_is_open_on_windows_is_replaced_once_it_is_closed(tmp_path, monkeypatch, code):
    monkeypatch.setattr(Path, "replace", refused(2, code))
    (tmp_path / "a.csv").write_text("before")
    atomic_write(tmp_path / "a.csv", "after")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["after"]


@pytest.mark.parametrize(("times", "code"), [(1, None), (100, 32)], ids=["another-reason", "stays-open"])
def test_a_file_that_stays_open_is_an_error(tmp_path, monkeypatch, times, code):
    monkeypatch.setattr(Path, "replace", refused(times, code))
    (tmp_path / "a.csv").write_text("before")
    with pytest.raises(RobustcheckError, match=r"cannot write .*a.csv: Access is denied: check"):
        atomic_write(tmp_path / "a.csv", "after")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_device_or_a_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(
        RobustcheckError, match=r"cannot write .*pipe: (No such device|Device not configured)"
    ):
        atomic_write(pipe, "nobody reads")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        atomic_write(pipe, [b"some ", b"text"])
        assert os.read(reader, 100) == b"some text"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    controller, terminal = os.openpty()  # a device that may be replaced without harm
    link = tmp_path / "link"
    link.symlink_to(os.ttyname(terminal))
    atomic_write(link, "shown")
    assert os.read(controller, 100) == b"shown"
    assert link.is_symlink()
    os.close(controller)
    os.close(terminal)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "pipe"]
