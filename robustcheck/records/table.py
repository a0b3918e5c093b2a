"""The per-image table: one row per image and view, with all measures.

| column     | meaning                                                                  | values        |
|------------|--------------------------------------------------------------------------|---------------|
| prediction | the class with the largest logit; -1 where the view was not evaluated    | int           |
| correct    | the prediction is the image's label; NaN without a label                 | 0, 1, NaN     |
| p_top      | probability of l_x, the model's own top label on the clean image         | 0..1          |
| kept       | the prediction is still l_x                                              | 0, 1          |
| linf, l2   | size of the change from the clean image, in pixel levels                 | 0..255; 0..   |

Of each view there is one array of rows, numpy's structured kind: `rows["p_top"]` is a column, `rows[5:7]` are two images.
The evaluation, the record store, processes that send records and the files all hold these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.notation import View, parse
from robustcheck.records.measures import COLUMNS, TABLE, find_measure
from robustcheck.records.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

Column = npt.NDArray[Any]
Rows = npt.NDArray[np.void]
"""One view's rows of the table, an entry per image, with the fields `COLUMNS`."""
ROW = np.dtype([(measure.column, "<i8" if measure.kind == "class" else "<f8") for measure in TABLE.values()])


def empty_rows(count: int) -> Rows:
    """Return the rows of a view of which no image was evaluated."""
    return as_rows([-1 if measure.kind == "class" else np.nan for measure in TABLE.values()], count)


def as_rows(columns: Mapping[str, Any] | Iterable[npt.ArrayLike], count: int | None = None) -> Rows:
    """Return columns, by name or in the order of `COLUMNS`, as rows; `count` is how many, where no column says."""
    named = columns if isinstance(columns, Mapping) else dict(zip(COLUMNS, columns, strict=True))
    rows = np.empty(len(np.asarray(named["prediction"])) if count is None else count, dtype=ROW)
    for name in COLUMNS:
        rows[name] = named[name]
    return rows


def to_bytes(tables: Mapping[str, Rows]) -> bytes:
    """Return some views' rows, exact to the bit, for `from_bytes` in another process."""
    file = BytesIO()
    np.savez(file, *tables.values(), views=np.array([*tables]))
    return file.getvalue()


def from_bytes(data: bytes) -> dict[str, Rows]:
    """Return the rows that `to_bytes` was given."""
    with np.load(BytesIO(data), allow_pickle=False) as arrays:
        return {view: arrays[f"arr_{at}"] for at, view in enumerate(arrays["views"].tolist())}


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
            columns = {name: self.columns[view][name] for name in COLUMNS}
            tables.append(table.assign(**columns)[self.seen(view)])
        return pd.concat(tables, ignore_index=True)

    def _require_labels(self) -> None:
        missing = int((self.labels < 0).sum())
        if missing:
            raise RobustcheckError(
                f"accuracy needs labels, and {missing} of {len(self)} images have none: give a folder whose "
                "sub-folders are the classes, or ask for 'kept' or 'top_probability'"
            )
