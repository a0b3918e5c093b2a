"""What has been measured so far, image by image: a table that is filled along the order in which images are taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robustcheck.evaluation.shards import Shard
from robustcheck.images import Batch, ImageSet
from robustcheck.notation import View, X
from robustcheck.records import Records, Rows, empty_rows
from robustcheck.records.provenance import Provenance


class Table:
    """The columns of some views, each measured on some of the images.

    Positions are those in the order; columns and ids are in image-set order.
    """

    def __init__(self, order: npt.NDArray[np.int64]) -> None:
        self.order = order
        self.ids: list[str] = [""] * len(order)
        self._columns: dict[View, Rows] = {}
        self._measured: dict[View, npt.NDArray[np.bool_]] = {}
        """By view and position, whether it was measured; one entry more, False, ends every search."""
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
        """Add empty columns for the views that are new."""
        for view in views:
            if view not in self._columns:
                self._columns[view] = empty_rows(len(self.order))
                self._measured[view] = np.zeros(len(self.order) + 1, bool)
                self._done[view] = 0

    def done(self, view: View) -> int:
        """Return on how many of the first images of the order a view has been measured."""
        return self._done.get(view, 0)

    def missing(self, view: View, shard: Shard) -> int:
        """Return the first position in a shard at which a view has not been measured, or the shard's end."""
        return min(shard.start + int(self._measured[view][shard.start :].argmin()), shard.stop)

    def columns(self, view: View) -> Rows:
        """Return a view's rows of the table, one per image of the set."""
        return self._columns[view]

    def top_labels(self, batch: Batch) -> Tensor:
        """Return l_x of images whose clean view has been measured: int64 (n,)."""
        return torch.from_numpy(self._columns[X]["prediction"][batch.indices])

    def put(self, start: int, ids: Sequence[str], columns: Mapping[View, Rows]) -> None:
        """Add the images from position `start` on: their ids, and the rows of some views."""
        stop = start + len(ids)
        rows = self.order[start:stop]
        for view, values in columns.items():
            self._columns[view][rows] = values
            measured, done = self._measured[view], self._done[view]
            measured[start:stop] = True
            self._done[view] = done + int(measured[done:].argmin())
        for row, image_id in zip(rows, ids, strict=True):
            self.ids[row] = image_id

    def cut(self, view: View, start: int, stop: int) -> Rows:
        """Return a view's rows for the images at the positions `start` to `stop`, in the order."""
        return self._columns[view][self.order[start:stop]]

    def ids_at(self, start: int, stop: int) -> list[str]:
        """Return the ids of the images at the positions `start` to `stop`, in the order."""
        return [self.ids[row] for row in self.order[start:stop]]

    def records(self, images: ImageSet, provenance: Provenance) -> Records:
        """Return a copy of what is there, as the records of an image set."""
        columns = {view: rows.copy() for view, rows in self._columns.items()}
        drawn = np.argsort(self.order)  # the inverse of the permutation
        return Records(tuple(self.ids), images.names, images.labels, columns, provenance, drawn)
