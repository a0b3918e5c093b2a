"""The schema of records in files and data frames: one row per image and view that was evaluated.

| column     | type    |                                                                        |
|------------|---------|------------------------------------------------------------------------|
| image      | integer | position of the image in the image set, from 0                         |
| id         | text    | hash of the image's pixels                                             |
| name       | text    | what a person calls the image: its file's name                         |
| label      | integer | class index, -1 for none                                               |
| drawn      | integer | position in the random order in which images were evaluated, from 0    |
| view       | text    | the view in the notation: `JPG(Adv_1)`                                 |
| prediction | integer | class with the largest logit                                           |
| correct    | float   | 1 where the prediction is the label; missing for an image without one  |
| p_top      | float   | probability of the clean image's top label                             |
| kept       | float   | 1 where the prediction is the clean image's                            |
| linf, l2   | float   | size of the perturbation, in pixel levels                              |
| rising     | float   | 1 where the attack had not succeeded and its loss was still rising     |

The columns from `prediction` on are those of `robustcheck.records.measures`. CSV (`robustcheck.records.csv`), Parquet
(`robustcheck.records.tables`) and `Records.to_pandas` all have this table. A header goes with it: provenance, views,
the number of rows, and the number of images of the set, of which a run that stopped early has seen some.

`rising` is 0 for images that no attack made, and missing where it is not known: after attacks of a single step, those
that compare random draws, those of a random search, of other libraries or of a repository.

Files have a version. Version 3 added `rising`; files of version 2 are read without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robustcheck.errors import RobustcheckError
from robustcheck.records.measures import COLUMNS, TABLE
from robustcheck.records.rows import Column, empty_rows

if TYPE_CHECKING:
    from robustcheck.records.table import Records

VERSION = 3
"""The version of the files that are written."""
READABLE = (2, 3)
"""The versions of the files that are read; others are refused."""
READ_VERSIONS = " and ".join(map(str, READABLE))
INTEGERS = ("image", "label", "drawn")
"""The integer columns beside the measures; each image has the same value in all its rows."""
TEXTS = ("id", "name", "view")
NAMES = ("image", "id", "name", "label", "drawn", "view", *COLUMNS)
"""All columns, in order."""
Header = Mapping[str, Any]


@dataclass(frozen=True)
class Texts:
    """A column of texts of which each is stored once: row i has `known[codes[i]]`."""

    codes: npt.NDArray[Any]
    """int32 (n,)"""
    known: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Columns of one length, by name."""

    numbers: Mapping[str, Column]
    """int32, int64 or float64 (n,) each; float64 with NaN where cells are empty."""
    texts: Mapping[str, Texts]


def names_of(version: int) -> tuple[str, ...]:
    """Return all columns that files of a version have, in order."""
    return tuple(name for name in NAMES if name not in TABLE or TABLE[name].since <= version)


def header_of(records: Records, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what goes with the table of some records, as JSON has it; `extra` joins it."""
    return {
        "format": VERSION,
        "provenance": records.provenance.header(),
        "views": [str(view) for view in records.views],
        "images": len(records),
        "rows": sum(int(records.seen(view).sum()) for view in records.views),
        **(extra or {}),
    }


def table_of(records: Records) -> Table:
    """Return records as a table, by view, the images of each in image-set order."""
    views = list(records.views)
    seen = [np.flatnonzero(records.seen(view)) for view in views]
    image = np.concatenate([np.empty(0, np.int64), *seen])
    which = np.repeat(np.arange(len(views), dtype=np.int32), [len(part) for part in seen])
    parts = [records.columns[view][at] for view, at in zip(views, seen, strict=True)]
    rows = np.concatenate([empty_rows(0), *parts])
    codes = image.astype(np.int32)
    return Table(
        {
            "image": image,
            "label": records.labels[image],
            "drawn": records.order[image],
            **{name: rows[name] for name in COLUMNS},
        },
        {
            "id": Texts(codes, records.ids),
            "name": Texts(codes, records.names),
            "view": Texts(which, [str(view) for view in views]),
        },
    )


_LARGEST = 2**53


def check_version(header: Header, where: str) -> None:
    """Raise `RobustcheckError` for the header of a file of another version, or with fields of other kinds."""
    version = header.get("format")
    if type(version) is not int or version not in READABLE:
        raise RobustcheckError(
            f"{where} is of version {version!r:.60}, and this robustcheck reads versions {READ_VERSIONS}: save it anew"
        )
    failed = header.get("integrity tests failed", [])
    if not isinstance(failed, list) or not all(isinstance(name, str) for name in failed):
        raise RobustcheckError(
            f"{where}: 'integrity tests failed' must be a list of texts, got {failed!r:.60}"
        )
    classes = header.get("classes")
    if classes is not None and (type(classes) is not int or not 1 <= classes <= _LARGEST):
        raise RobustcheckError(f"{where}: 'classes' must be an integer >= 1, got {classes!r:.60}")
