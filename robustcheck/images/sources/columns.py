"""The columns of a table that hold the images and their labels: as named, else by usual names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from robustcheck.errors import RobustcheckError, unknown

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

    RobustcheckError for a named column that does not exist.
    """
    if wanted is not None:
        if wanted not in there:
            raise unknown(f"column of {where} for the {what},", wanted, there)
        return wanted
    lower = {name.strip().lower(): name for name in reversed(there)}
    return next((lower[name] for name in usual if name in lower), None)


def as_labels(values: Sequence[object], where: Sequence[str]) -> tuple[list[int], list[str] | None]:
    """Return the class indices of a column of labels, and the names of the classes if it holds names.

    Integers are indices; an empty cell, None or -1 is no label; other text is a class name, numbered in sorted
    order. `where` locates each value for errors. RobustcheckError for numbers below -1 or with a fraction, and
    for numbers among names.
    """
    texts = ["" if value is None or value != value else str(value).strip() for value in values]  # noqa: PLR0124 - NaN
    numeric = [index for index, text in enumerate(texts) if _is_number(text)]
    filled = [index for index, text in enumerate(texts) if text]
    if numeric and len(numeric) != len(filled):
        named = next(index for index in filled if not _is_number(texts[index]))
        raise RobustcheckError(
            f"labels must be all class indices or all class names, got {texts[named]!r} in {where[named]} and "
            f"{texts[numeric[0]]!r} in {where[numeric[0]]}"
        )
    if not numeric:
        names = sorted({texts[index] for index in filled})
        place = {name: index for index, name in enumerate(names)}
        return [place.get(text, -1) for text in texts], names or None
    labels = []
    for text, place_of in zip(texts, where, strict=True):
        number = float(text or -1)
        if number < -1 or number % 1 or number > 2**31:
            raise RobustcheckError(
                f"{place_of}: label must be a class index, an integer >= 0, or -1 for none, got {text!r}"
            )
        labels.append(int(number))
    return labels, None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
