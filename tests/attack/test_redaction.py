"""Reports that leave the machine name no folder outside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustcheck.report.redaction import hider

PATHS = {
    "plain": "/home/secret/set/a.png",
    "blanks": "/home/secret name/my set/a.png",
    "many blanks": "/media/secret/one two three four/a.png",
    "home": "~/secret/a.png",
    "another's home": "~secret/sets/a.png",
    "URI": "file:///home/secret/a.png",
    "URI of a host": "file://secret/share/a.png",
    "URI with blanks": "file:///home/secret name/a.png",
    "drive": r"C:\Users\secret\a.png",
    "drive and blanks": r"C:\Documents and Settings\secret me\a.png",
    "drive, slashes": "C:/Users/secret/a.png",
    "UNC": r"\\secret\share\a.png",
    "UNC and blanks": r"\\secret\my share\a.png",
    "long UNC": r"\\?\C:\Users\secret\a.png",
    "server": "//secret/share/a.png",
    "after a prefix": "hf:/home/secret/a.png",
    "after an option": "--robustcheck-weights=/home/secret/a.png",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("text", ["{}", "the file {} is damaged", "'{}' (of x)", "a, {}; b", "{}\nmore"])
def test_folders_are_hidden(path, text):
    shown = hider(Path("/home/me/repository"))(text.format(path))
    assert "secret" not in shown
    assert "a.png" in shown


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a/b c",
        "accuracy(x) / 2 >= 0.5",
        "either/or, and/or",
        "images/s",
        "JPG(Adv_1) and Adv_1/x",
        "1 / 2 / 3",
        "see docs/a.md",
    ],
)
def test_what_is_no_path_stays(text):
    assert hider(Path("/home/me/repository"))(text) == text


@pytest.mark.parametrize("path", ["a.png", "my set/a.png", "deep/er/a b/a.png"])
def test_paths_in_the_repository_are_written_from_there(path):
    assert hider(Path("/home/me/my repository"))(f"at /home/me/my repository/{path}") == f"at {path}"
