"""The per-image table: one row per image and view, with all measures.

| column     | meaning                                                                  | values        |
|------------|--------------------------------------------------------------------------|---------------|
| prediction | the class with the largest logit; -1 where the view was not evaluated    | int           |
| correct    | the prediction is the image's label; NaN without a label                 | 0, 1, NaN     |
| p_top      | probability of l_x, the model's own top label on the clean image         | 0..1          |
| kept       | the prediction is still l_x                                              | 0, 1          |
| linf, l2   | size of the change from the clean image, in pixel levels                 | 0..255; 0..   |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.notation import View, parse

if TYPE_CHECKING:
    import pandas as pd

Column = npt.NDArray[Any]

MEASURES = ("correct", "p_top", "kept")
COLUMNS = ("prediction", *MEASURES, "linf", "l2")

MEASURE_OF = {"accuracy": "correct", "top_probability": "p_top", "kept": "kept"}
"""The per-image measure behind each word that is a mean of one."""


def empty_columns(count: int) -> dict[str, Column]:
    """Return the columns of a view of which no image was evaluated."""
    columns: dict[str, Column] = {name: np.full(count, np.nan) for name in COLUMNS}
    columns["prediction"] = np.full(count, -1, dtype=np.int64)
    return columns


@dataclass(frozen=True, repr=False)
class Records:
    """What was measured: for each view, columns with one entry per image, in image-set order."""

    ids: tuple[str, ...]
    """Per image, the hash of its pixels; empty where it has not been decoded."""
    names: tuple[str, ...]
    """Per image, what a person calls it: its file's name."""
    labels: Column
    """int64 (N,): per image, its class; -1 where it has none."""
    columns: Mapping[View, Mapping[str, Column]]
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Everything that the numbers depend on, as text: model, images, codec, device, seeds, versions."""

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
        name = MEASURE_OF.get(measure, measure)
        if name not in COLUMNS:
            raise unknown("measure", measure, {*COLUMNS, *MEASURE_OF})
        tree = parse(view)
        if tree not in self.columns:
            raise unknown("view of these records", str(tree), map(str, self.columns))
        if name == "correct":
            self._require_labels()
        return self.columns[tree][name]

    def mean(self, measure: str, view: str | View) -> float:
        """Return the mean of a measure over the images that the view was evaluated on."""
        values = self.column(measure, view)[self.seen(view)]
        if not len(values):
            raise RobustcheckError(f"no image of {parse(view)} was evaluated, so {measure} has no mean")
        return float(values.mean())

    def merge(self, other: Records) -> Records:
        """Return the records of both, of the same images; where both have a view, the one that saw more."""
        if other.names != self.names or not np.array_equal(other.labels, self.labels):
            raise RobustcheckError("records of different image sets can't be merged")
        columns = dict(self.columns)
        for view in other.views:
            if view not in columns or other.seen(view).sum() > self.seen(view).sum():
                columns[view] = other.columns[view]
        ids = tuple(mine or theirs for mine, theirs in zip(self.ids, other.ids, strict=True))
        return replace(self, ids=ids, columns=columns)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per image and view that was evaluated; needs pandas."""
        try:
            import pandas as pd
        except ImportError:
            raise RobustcheckError("to_pandas() needs pandas: pip install pandas") from None
        tables = []
        for view in self.views:
            table = pd.DataFrame(
                {"id": self.ids, "name": self.names, "label": self.labels, "view": str(view)}
            )
            tables.append(table.assign(**self.columns[view])[self.seen(view)])
        return pd.concat(tables, ignore_index=True)

    def _require_labels(self) -> None:
        missing = int((self.labels < 0).sum())
        if missing:
            raise RobustcheckError(
                f"accuracy needs labels, and {missing} of {len(self)} images have none: give a folder whose "
                "sub-folders are the classes, or ask for 'kept' or 'top_probability'"
            )
