"""What has been measured so far, image by image: a table that grows along the order in which images are taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from robustcheck.images import ImageSet
from robustcheck.notation import View
from robustcheck.records import COLUMNS, Column, Records, empty_columns


class Table:
    """The columns of some views; each has been measured on some number of the first images of the order.

    Places are those in the order; columns and ids are in image-set order.
    """

    def __init__(self, order: npt.NDArray[np.int64]) -> None:
        self.order = order
        self.ids = [""] * len(order)
        self._columns: dict[View, dict[str, Column]] = {}
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
                self._columns[view] = empty_columns(len(self.order))

    def done(self, view: View) -> int:
        """Return on how many images, in order, a view has been measured."""
        return self._done.get(view, 0)

    def columns(self, view: View) -> Mapping[str, Column]:
        """Return a view's columns, one entry per image of the set."""
        return self._columns[view]

    def put(self, start: int, ids: Sequence[str], columns: Mapping[View, Iterable[Column]]) -> None:
        """Take in the images from place `start` on: their ids, and of some views the columns in the order of `COLUMNS`."""
        stop = start + len(ids)
        rows = self.order[start:stop]
        for view, values in columns.items():
            for name, column in zip(COLUMNS, values, strict=True):
                self._columns[view][name][rows] = column
            self._done[view] = max(self.done(view), stop)
        for row, image_id in zip(rows, ids, strict=True):
            self.ids[row] = image_id

    def cut(self, view: View, start: int, stop: int) -> dict[str, Column]:
        """Return a view's columns for the images at the places `start` to `stop`, in the order."""
        rows = self.order[start:stop]
        return {name: self._columns[view][name][rows] for name in COLUMNS}

    def ids_at(self, start: int, stop: int) -> list[str]:
        """Return the ids of the images at the places `start` to `stop`, in the order."""
        return [self.ids[row] for row in self.order[start:stop]]

    def records(self, images: ImageSet, provenance: Mapping[str, str]) -> Records:
        """Return a copy of what is there, as the records of an image set."""
        columns = {view: {name: own[name].copy() for name in COLUMNS} for view, own in self._columns.items()}
        return Records(tuple(self.ids), images.names, images.labels, columns, provenance)
