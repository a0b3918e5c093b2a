"""An earlier run's measures of this run's images, which help to decide claims about this run.

Whatever they say, the decisions stay valid (see `robustcheck.claims.assisted_bets`), if the order in which images are
drawn was fixed after them. So they may be of another model, codec or precision, and images are paired by name: to hash
the pixels of all images, all would have to be decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from robustcheck.errors import RobustcheckError
from robustcheck.notation import View
from robustcheck.records.baseline import Baseline
from robustcheck.records.measures import find_measure
from robustcheck.records.rows import Column

LEAST_COVERAGE = 0.5
"""The least share of this run's images that a baseline must have to help."""


def draw_order(count: int, *, seed: int, digest: str, draw: str) -> Column:
    """Return a permutation that depends on the seed, on the digest of a baseline, and on a value chosen after it.

    int64 (count,). The value makes it unknown to whoever wrote the baseline.
    """
    text = hashlib.sha256(f"{seed}\n{digest}\n{draw}".encode()).digest()
    return np.random.default_rng(int.from_bytes(text, "big")).permutation(count)


@dataclass(frozen=True, eq=False)
class OldRun:
    """A baseline, paired with this run's images in the order in which they are drawn."""

    baseline: Baseline
    order: Column
    """int64 (N,): the rows of this run's image set as they are drawn."""
    rows: Column
    """int64 (N,): as drawn, the baseline's row of each image; -1 where it has none."""
    labels: Column
    """int64 (N,): as drawn, each image's label in this run."""

    @classmethod
    def of(cls, baseline: Baseline, names: Sequence[str], labels: Column, order: Column) -> OldRun:
        """Return a baseline, paired by names with images in image-set order, drawn in an order.

        Raises `RobustcheckError` where it can't help: it has too few of the images, or was stopped early.
        """
        records = baseline.records
        partial = [view for view in records.views if not records.seen(view).all()]
        if partial:
            raise RobustcheckError(
                f"it was stopped early ({partial[0]} was evaluated on {int(records.seen(partial[0]).sum())} of "
                f"{len(records)} images)"
            )
        rows = baseline.rows_by_name(names, labels)
        found = int((rows >= 0).sum())
        if found < LEAST_COVERAGE * len(names):
            raise RobustcheckError(
                f"it has {found} of the {len(names)} images, by name, and half of them are needed"
            )
        return cls(baseline, order, rows[order], labels[order])

    def __str__(self) -> str:
        date = self.baseline.saved.get("date", "")[:10]
        facts = ", ".join(filter(None, [date, f"{len(self.baseline.records):,} images"]))
        return f"{self.baseline.path.stem} ({facts})"

    def measures(self, terms: Iterable[tuple[str, View]]) -> Column | None:
        """Return the old measures of all images as drawn, NaN where an image has none: float64 (N, len(terms)).

        None where the baseline lacks a view. *correct* is the saved prediction under this run's labels.
        """
        wanted = list(terms)
        if any(view not in self.baseline.records.columns for _, view in wanted):
            return None
        return np.stack([self._column(measure, view) for measure, view in wanted], axis=1)

    def _column(self, name: str, view: View) -> Column:
        measure, columns = find_measure(name), self.baseline.records.columns[view]
        values = columns[measure.column][self.rows].astype(np.float64)
        if measure.needs_labels:
            values = (columns["prediction"][self.rows] == self.labels).astype(np.float64)
        return np.where(self.rows >= 0, np.clip(values, 0.0, 1.0), np.nan)
