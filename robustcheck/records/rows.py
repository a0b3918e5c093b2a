"""One view's rows of the per-image table, as a structured array of numpy.

| column     | meaning                                                                  | values        |
|------------|--------------------------------------------------------------------------|---------------|
| prediction | the class with the largest logit; -1 where the view was not evaluated    | int           |
| correct    | the prediction is the image's label; NaN without a label                 | 0, 1, NaN     |
| p_top      | probability of l_x, the model's own top label on the clean image         | 0..1          |
| kept       | the prediction is still l_x                                              | 0, 1          |
| linf, l2   | size of the change from the clean image, in pixel levels                 | 0..255; 0..   |
| rising     | the attack had not succeeded and its loss was still rising; NaN: unknown | 0, 1, NaN     |

`rows["p_top"]` is a column, `rows[5:7]` are two images. The evaluation, the record store, processes that send records and
the files all hold these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from robustcheck.records.measures import COLUMNS, TABLE

Column = npt.NDArray[Any]
Rows = npt.NDArray[np.void]
"""One view's rows of the table, an entry per image, with the fields `COLUMNS`."""
ROW = np.dtype([(measure.column, "<i8" if measure.kind == "class" else "<f8") for measure in TABLE.values()])


def empty_rows(count: int) -> Rows:
    """Return the rows of a view of which no image was evaluated."""
    return as_rows([-1 if measure.kind == "class" else np.nan for measure in TABLE.values()], count)


def as_rows(columns: Mapping[str, Any] | Iterable[npt.ArrayLike], count: int | None = None) -> Rows:
    """Return columns, by name or in the order of `COLUMNS`, as rows; `count` is how many, where no column says.

    Of columns by name, those that are optional may be left out: NaN.
    """
    named = columns if isinstance(columns, Mapping) else dict(zip(COLUMNS, columns, strict=True))
    rows = np.empty(len(np.asarray(named["prediction"])) if count is None else count, dtype=ROW)
    for name, measure in TABLE.items():
        rows[name] = named.get(name, np.nan) if measure.is_optional else named[name]
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
