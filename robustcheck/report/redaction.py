"""Texts from outside as they may be shown: no path of the machine in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from robustcheck.report.run import FinishedRun
from robustcheck.report.study import Study

_IN_A_NAME = r"""[^\s'",;:()<>|/\\]+"""
_START = r"(?:file:(?://[^\s/\\]*)?)?(?:/|~\w*/|[A-Za-z]:[\\/])|\\\\(?:[?.]\\(?:[A-Za-z]:\\)?)?|(?<!:)//"
_PATH = re.compile(
    rf"(?<![\w.~/<\\-])(?:{_START})(?:{_IN_A_NAME}(?: (?![~-]){_IN_A_NAME}){{0,4}}[/\\])+(?:{_IN_A_NAME})?"
)
"""A path in a text: from the root, a home, a drive, a server (UNC) or as a URI. A folder's name may have blanks, but
no word that begins like a home or an option; of the last part only a quotation mark would tell where it ends."""
ELSEWHERE = "…/"


def without_paths(run: FinishedRun, root: Path) -> FinishedRun:
    """Return a run that names no path of the machine outside `root`: of those the last part alone is left."""
    hide = hider(root)
    hidden = ("claims", "findings", "checks", "mutants", "troubles", "session")
    return replace(
        run,
        studies=tuple(_study(study, hide, root) for study in run.studies),
        **{name: _mapped(getattr(run, name), hide) for name in hidden},
    )


def _study(study: Study, hide: Callable[[str], str], root: Path) -> Study:
    records = study.records
    names = tuple(_shortened(name) for name in records.names)
    folder = _folder(records.provenance.images.name, root)  # it may have blanks in it
    provenance = _mapped(records.provenance, hide)
    provenance = replace(provenance, images=replace(provenance.images, name=folder))
    panels = tuple(replace(panel, image=_shortened(panel.image)) for panel in study.panels)
    return replace(study, records=replace(records, names=names, provenance=provenance), panels=panels)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return a plain value with each text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_mapped(item, change) for item in value)
    if isinstance(value, Mapping):
        return {name: _mapped(item, change) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{each.name: _mapped(getattr(value, each.name), change) for each in fields(value)}
        )
    return value


def _folder(name: str, root: Path) -> str:
    inside = Path(name).is_relative_to(root)
    return Path(name).relative_to(root).as_posix() if inside else _shortened(name)


def hider(root: Path) -> Callable[[str], str]:
    r"""Return what writes the paths in a text from `root`, and of those elsewhere the last part alone.

    >>> hider(Path("/home/me/repo"))("/home/me/repo/a.pt and /data/sets/b.pt")
    'a.pt and …/b.pt'
    >>> hider(Path("/"))(r"\\server\me\b.pt"), hider(Path("/x"))("file:///home/my name/b.pt")
    ('…/b.pt', '…/b.pt')
    """

    def shortened(found: re.Match[str]) -> str:
        path = found.group()
        inside = Path(path)
        if inside.is_relative_to(root):
            return inside.relative_to(root).as_posix()
        return ELSEWHERE + re.split(r"[/\\]", path.rstrip("/\\"))[-1]

    return lambda text: _PATH.sub(shortened, text)


def _shortened(name: str) -> str:
    if name.startswith("file:"):
        return ELSEWHERE + name.rpartition("/")[2]
    path = (PurePosixPath if name.startswith("/") else PureWindowsPath)(name)
    return ELSEWHERE + path.name if path.is_absolute() else name
