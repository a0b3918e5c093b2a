"""The columns of a table that hold the images and their labels: as named, else by usual names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

import numpy as np

from robustcheck.errors import RobustcheckError, unknown

NO_LABEL = -1
_LARGEST = 2**31
_INDEX = re.compile(r"-1|(0|[1-9][0-9]{0,9})(\.0+)?|-1\.0+")
_HEXADECIMAL = re.compile(r"[+-]?0[xXoObB][0-9a-fA-F_]+")
_BRACKETS = {("[", "]"), ("(", ")"), ("{", "}")}
LABELS = ("label", "labels", "class", "target", "fine_label", "cls", "y", "category", "class_name")


@dataclass(frozen=True)
class TableSpec:
    """A table's location, and settings after a question mark, as in `val.csv?path=file&label=y`."""

    place: str
    settings: Mapping[str, str]

    @classmethod
    def read(cls, text: str, allowed: Sequence[str]) -> TableSpec:
        """Parse a spec; RobustcheckError for a setting that is not `allowed` or has no value."""
        place, mark, query = text.partition("?")
        settings = dict(parse_qsl(query, keep_blank_values=True))
        for key, value in settings.items():
            if key not in allowed:
                raise unknown(f"setting of images {text!r},", key, allowed)
            if not value:
                raise RobustcheckError(
                    f"images {text!r}: {key}= must have a value, got none: give one or remove it"
                )
        if mark and not settings:
            raise RobustcheckError(
                f"images {text!r}: settings must follow the question mark, got none: allowed are {', '.join(allowed)}"
            )
        return cls(place, settings)


def column(
    wanted: str | None, usual: Sequence[str], there: Sequence[str], *, what: str, where: str
) -> str | None:
    """Return the column that holds `what`; None if none is named and none has a usual name.

    RobustcheckError for a named column that does not exist, and for a column that is there twice.
    """
    if wanted is not None and wanted not in there:
        raise unknown(f"column of {where} for the {what},", wanted, there)
    lower = {name.strip().lower(): name for name in reversed(there)}
    found = wanted or next((lower[name] for name in usual if name in lower), None)
    if found is not None and there.count(found) > 1:
        raise RobustcheckError(
            f"{where} must have one column {found!r} for the {what}, got {there.count(found)}: rename the others"
        )
    return found


def as_labels(values: Sequence[object], where: Sequence[str]) -> tuple[list[int], list[str] | None]:
    """Return the class indices of a column of labels, and the names of the classes if it holds names.

    A label is a class index (an integer >= 0, also as text, also as 3.0, which is how tables with missing labels write
    it), or a class name, or nothing: None, NaN, an empty text or -1. A name is text with a letter in it that is no number
    and no list; names are numbered in sorted order. `where` locates each value for errors.

    RobustcheckError for anything else, and for indices among names.
    """
    read = [_label(value, place) for value, place in zip(values, where, strict=True)]
    names = sorted({each for each in read if isinstance(each, str)})
    if not names:
        return [each for each in read if isinstance(each, int)], None
    number = next(
        (index for index, each in enumerate(read) if isinstance(each, int) and each != NO_LABEL), None
    )
    if number is not None:
        name = next(index for index, each in enumerate(read) if isinstance(each, str))
        raise RobustcheckError(
            f"labels must be all class indices or all class names, got {read[name]!r} in {where[name]} and "
            f"{str(read[number])!r} in {where[number]}"
        )
    place = {name: index for index, name in enumerate(names)}
    return [place[each] if isinstance(each, str) else NO_LABEL for each in read], names


def _label(value: object, where: str) -> int | str:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return NO_LABEL
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return NO_LABEL
        if _is_name(text):
            return text
        value = float(text) if _INDEX.fullmatch(text) else text
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if NO_LABEL <= value <= _LARGEST and value % 1 == 0:
            return int(value)
        value = f"{value:g}" if isinstance(value, float) else str(value)
    shown = repr(value[:60]) if isinstance(value, str) else f"{type(value).__name__} {str(value)[:60]}"
    raise RobustcheckError(
        f"{where}: label must be a class index, an integer >= 0, or -1 for none, got {shown}; or it must be a class name: "
        "text with a letter in it that is no number and no list"
    )


def _is_name(text: str) -> bool:
    if not any(char.isalpha() or not (char.isascii() or char.isnumeric()) for char in text):
        return False
    if (text[0], text[-1]) in _BRACKETS:
        return False
    try:
        float(text)  # nan, inf, 1e3
    except ValueError:
        return _HEXADECIMAL.fullmatch(text) is None
    return False
