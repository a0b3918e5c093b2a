"""The per-image table of an evaluation: for each view, a row per image with all measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.notation import View, parse
from robustcheck.records.measures import find_measure
from robustcheck.records.provenance import Provenance
from robustcheck.records.rows import Column, Rows, empty_rows
from robustcheck.records.schema import NAMES, table_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Records:
    """What was measured: for each view, columns with one entry per image, in image-set order."""

    ids: tuple[str, ...]
    """Per image, the hash of its pixels; empty where it has not been decoded."""
    names: tuple[str, ...]
    """Per image, what a person calls it: its file's name."""
    labels: Column
    """int64 (N,): per image, its class; -1 where it has none."""
    columns: Mapping[View, Rows]
    provenance: Provenance = field(default_factory=Provenance)
    """Everything that the numbers depend on: model, images, codec, device, seeds, versions."""
    drawn: Column | None = None
    """int64 (N,): per image, its position in the random order in which images were evaluated; None: in image-set order."""

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<records of {len(self)} images under {', '.join(map(str, self.views))}>"

    @property
    def views(self) -> tuple[View, ...]:
        """The views that have records, the clean images first."""
        return tuple(self.columns)

    def seen(self, view: str | View) -> Column:
        """Return which images the view was evaluated on: bool (N,)."""
        mask: Column = self.column("prediction", view) >= 0
        return mask

    def column(self, measure: str, view: str | View) -> Column:
        """Return a column as numpy (N,), in image-set order; NaN where an image was not evaluated.

        `measure` is a column's name or a word for its mean ("accuracy" is "correct"). Raises
        `RobustcheckError` for an unknown measure, a view without records, or "correct" without labels.
        """
        found = find_measure(measure)
        tree = parse(view)
        if tree not in self.columns:
            raise unknown("view of these records", str(tree), map(str, self.columns))
        if found.needs_labels:
            self._require_labels()
        column: Column = self.columns[tree][found.column]
        return column

    def mean(self, measure: str, view: str | View) -> float:
        """Return the mean of a measure over the images that the view was evaluated on, and that have it.

        Raises `RobustcheckError` as `column` does, and where there is no such image.
        """
        values = self.column(measure, view)[self.seen(view)]
        if not len(values):
            raise RobustcheckError(f"no image of {parse(view)} was evaluated, so {measure} has no mean")
        if find_measure(measure).is_optional:
            values = values[~np.isnan(values)]
            if not len(values):
                raise RobustcheckError(
                    f"no image of {parse(view)} has a value of {measure}, so it has no mean"
                )
        return float(values.mean())

    def merge(self, other: Records) -> Records:
        """Return the records of both, which must be of one image set: what either has evaluated.

        Where both have an image under a view, `self`'s row is taken. Raises `RobustcheckError`, naming what differs,
        for another image set, and for another model, other settings or versions.
        """
        _refuse("merged", [*self.image_differences(other), *self.provenance.conflicts(other.provenance)])
        columns = dict(self.columns)
        for view, theirs in other.columns.items():
            mine = columns.get(view, empty_rows(len(self)))
            columns[view] = np.where(mine["prediction"] >= 0, mine, theirs)
        return replace(
            self,
            ids=_known(self.ids, other.ids),
            names=_known(self.names, other.names),
            labels=np.where(self.labels >= 0, self.labels, other.labels),
            columns=columns,
            drawn=other.drawn if self.drawn is None else self.drawn,
            provenance=self.provenance.merged(other.provenance),
        )

    def concat(self, other: Records) -> Records:
        """Return the records of both, which must be of different images, one image set after the other.

        Raises `RobustcheckError`, naming what differs, for another model, other settings or versions, and for images
        that are in both.
        """
        both = len({*self.ids, ""} & {*other.ids}) - ("" in other.ids)
        shared = [f"{both} {'image is' if both == 1 else 'images are'} in both"] if both else []
        conflicts = self.provenance.conflicts(other.provenance, same_images=False)
        _refuse("concatenated", [*shared, *conflicts])
        views = dict.fromkeys([*self.columns, *other.columns])
        columns = {
            view: np.concatenate([each.columns.get(view, empty_rows(len(each))) for each in (self, other)])
            for view in views
        }
        return Records(
            self.ids + other.ids,
            self.names + other.names,
            np.concatenate([self.labels, other.labels]),
            columns,
            self.provenance.concatenated(other.provenance),
        )

    def image_differences(self, other: Records) -> list[str]:
        """Return why `other` is not of the same image set, in words; nothing if it is."""
        if len(self) != len(other):
            return [f"{len(self)} images and {len(other)} images"]
        return [
            f"{count} images with another {what}"
            for what, one, two in (
                ("name", self.names, other.names),
                ("hash of pixels", self.ids, other.ids),
                ("label", _texts(self.labels), _texts(other.labels)),
            )
            if (count := sum(bool(a and b and a != b) for a, b in zip(one, two, strict=True)))
        ]

    @property
    def order(self) -> Column:
        """`drawn`, or image-set order: int64 (N,)."""
        return np.arange(len(self)) if self.drawn is None else self.drawn

    @property
    def is_labelled(self) -> bool:
        """Whether every image that was evaluated has a label."""
        known = self.labels >= 0
        return bool(known.all() or (self.views and known[self.seen(self.views[0])].all() and known.any()))

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per image and view that was evaluated, with the columns of `robustcheck.records.schema`.

        Needs pandas.
        """
        try:
            import pandas as pd
        except ImportError:
            raise RobustcheckError("to_pandas() needs pandas: pip install pandas") from None
        table = table_of(self)
        texts = {
            name: np.array([*map(_as_utf8, column.known), ""], object)[column.codes]
            for name, column in table.texts.items()
        }
        return pd.DataFrame({name: table.numbers.get(name, texts.get(name)) for name in NAMES})

    def _require_labels(self) -> None:
        if not self.is_labelled:
            missing = int((self.labels[self.seen(self.views[0])] < 0).sum())
            raise RobustcheckError(
                f"accuracy needs labels, and {missing} of {len(self)} images have none: give a folder whose "
                "sub-folders are the classes, or ask for 'kept' or 'top_probability'"
            )


def _refuse(verb: str, differences: Sequence[str]) -> None:
    if differences:
        raise RobustcheckError(f"these records can't be {verb}: {'; '.join(differences)}")


def _known(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(mine or theirs for mine, theirs in zip(one, other, strict=True))


def _as_utf8(text: str) -> str:
    """Return a text with escapes in place of lone surrogates, which file names may have and no other program takes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _texts(labels: Column) -> list[str]:
    return ["" if label < 0 else str(label) for label in labels.tolist()]
