"""A table that lists images and their labels: CSV, TSV or Parquet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from robustcheck.errors import RobustcheckError
from robustcheck.images.decoding import name_as_text
from robustcheck.images.image_set import ImageSet
from robustcheck.images.sources.columns import LABELS, TableSpec, as_labels, column
from robustcheck.images.sources.folder import image_set
from robustcheck.images.subset import Draw
from robustcheck.images.table import open_table
from robustcheck.models.preprocessing import Preprocessing
from robustcheck.text import listed

_PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img")
_SETTINGS = ("path", "label")
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+://")


def open_manifest(location: str, preprocessing: Preprocessing, _draw: Draw | None) -> ImageSet:
    """Open the images that a table lists, in its order; paths in it are relative to its own folder.

    Columns are found by usual names (path, file, image; label, class, target) or named: `val.csv?path=file`.
    Labels are class indices or class names. RobustcheckError names the file and the line of an error; a path
    to nothing is a bad image, as in a folder.
    """
    spec = TableSpec.read(location, _SETTINGS)
    path = Path(spec.place).expanduser()
    if not path.exists():
        raise RobustcheckError(f"images {location!r}: no file {path} (in {Path.cwd()}); check the path")
    table = open_table(path)
    header = table.header
    paths_in = column(spec.settings.get("path"), _PATHS, header, what="path", where=str(path))
    if paths_in is None:
        raise RobustcheckError(
            f"{path} has no column of paths: its columns are {listed(header, 10) or 'none'}; {_advice(header, spec.place)}"
        )
    labels_in = column(spec.settings.get("label"), LABELS, header, what="label", where=str(path))
    columns, lines = table.read([paths_in] if labels_in is None else [paths_in, labels_in])
    if not lines:
        raise RobustcheckError(f"{path} must list images, got only a header: add a line for each image")
    where = [f"{path}, line {line}" for line in lines]
    paths = _paths(columns[0], where)
    labels, names = ([-1] * len(lines), None) if labels_in is None else as_labels(columns[1], where)
    shown = name_as_text(str(path))
    made = image_set(str(path.parent), paths, preprocessing, labels=labels, class_names=names, name=shown)
    made.has_sorted_names = names is not None
    return made


def _advice(header: Sequence[str], place: str) -> str:
    if any("\0" in name for name in header):
        return "it has zero bytes, as UTF-16 has: save it as UTF-8"
    if len(header) == 1 and any(each in header[0] for each in ";\t|"):
        return "separate them with commas, or with tabs in a .tsv"
    return f"call one path, or name it: {place}?path=COLUMN"


def _paths(values: Sequence[object], where: Sequence[str]) -> list[str]:
    for value, place in zip(values, where, strict=True):
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise RobustcheckError(
                f"{place}: path must be that of an image, from the table's folder, got {value!r}"
            )
        if _ADDRESS.match(value):
            raise RobustcheckError(
                f"{place}: path must be that of a file, got the address {value!r}: nothing is downloaded; save the images, "
                "and list their paths"
            )
    return [str(value) for value in values]
