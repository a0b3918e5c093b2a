"""What has been measured so far, image by image: a table that grows along the order in which images are taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from robustcheck.images import ImageSet
from robustcheck.notation import View
from robustcheck.records import Records, Rows, empty_rows
from robustcheck.records.provenance import Provenance


class Table:
    """The columns of some views; each has been measured on some number of the first images of the order.

    Places are those in the order; columns and ids are in image-set order.
    """

    def __init__(self, order: npt.NDArray[np.int64]) -> None:
        self.order = order
        self.ids = [""] * len(order)
        self._columns: dict[View, Rows] = {}
        self._done: dict[View, int] = {}

    @property
    def views(self) -> tuple[View, ...]:
        """The views that were asked for."""
        return tuple(self._columns)

    @property
    def rows(self) -> int:
        """How many images have been measured, summed over the views."""
        return sum(self._done.values())

    def add(self, views: Iterable[View]) -> None:
        """Have columns for some views."""
        for view in views:
            if view not in self._columns:
                self._columns[view] = empty_rows(len(self.order))

    def done(self, view: View) -> int:
        """Return on how many images, in order, a view has been measured."""
        return self._done.get(view, 0)

    def columns(self, view: View) -> Rows:
        """Return a view's rows of the table, one per image of the set."""
        return self._columns[view]

    def put(self, start: int, ids: Sequence[str], columns: Mapping[View, Rows]) -> None:
        """Take in the images from place `start` on: their ids, and the rows of some views."""
        stop = start + len(ids)
        rows = self.order[start:stop]
        for view, values in columns.items():
            self._columns[view][rows] = values
            self._done[view] = max(self.done(view), stop)
        for row, image_id in zip(rows, ids, strict=True):
            self.ids[row] = image_id

    def cut(self, view: View, start: int, stop: int) -> Rows:
        """Return a view's rows for the images at the places `start` to `stop`, in the order."""
        return self._columns[view][self.order[start:stop]]

    def ids_at(self, start: int, stop: int) -> list[str]:
        """Return the ids of the images at the places `start` to `stop`, in the order."""
        return [self.ids[row] for row in self.order[start:stop]]

    def records(self, images: ImageSet, provenance: Provenance) -> Records:
        """Return a copy of what is there, as the records of an image set."""
        columns = {view: rows.copy() for view, rows in self._columns.items()}
        return Records(tuple(self.ids), images.names, images.labels, columns, provenance)
