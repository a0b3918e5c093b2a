"""The records of an earlier run, to compare with image by image.

A baseline is a file of records (see `robustcheck.records.csv`) in the folder `robustcheck-baselines` of the
repository, meant to be committed beside the code whose claims it holds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.notation import View
from robustcheck.records.csv import load, save
from robustcheck.records.measures import default_measure, find_measure
from robustcheck.records.provenance import Provenance
from robustcheck.records.table import Column, Records

FOLDER = "robustcheck-baselines"
MUST_AGREE = ("codec", "labels", "pixels", "seed")
"""Where these differ, other images or other numbers were measured. Of the codec: its settings, which decide the pixels."""
MAY_DIFFER = ("codec", "device", "network", "precision", "versions")
"""Where these differ, some predictions may change by that alone, which reports note. Of the codec: the library."""
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{at}" for port in ("COM", "LPT") for at in range(10))}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def path_of(name: str, root: Path) -> Path:
    """Return the file of a baseline's name; raises `RobustcheckError` for a name that could leave the folder."""
    first = name.split(".", maxsplit=1)[0].upper()
    if not _NAME.fullmatch(name) or name.endswith(".") or first in _RESERVED:
        raise RobustcheckError(
            f"a baseline's name is letters, digits, '.', '_' and '-', beginning with a letter or digit, got {name!r}"
            + (": that name is reserved on Windows" if first in _RESERVED else "; it is a name, not a path")
        )
    return root / FOLDER / f"{name}.csv"


def save_baseline(name: str, root: Path, records: Records, *, failed: Sequence[str]) -> Path:
    """Write records as a baseline and return its file; `failed` are the integrity tests that did."""
    path = path_of(name, root)
    save(records, path, {"integrity tests failed": list(failed)})
    return path


@dataclass(frozen=True)
class Baseline:
    """The records of an earlier run."""

    path: Path
    records: Records

    @classmethod
    def read(cls, name_or_path: str, root: Path) -> Baseline:
        """Return a baseline by its name or its file.

        Raises `RobustcheckError` where there is none, where it is damaged, and where the run that made it
        failed its own integrity tests.
        """
        path = Path(name_or_path)
        if not path.is_file():
            path = root / FOLDER / f"{name_or_path}.csv"
        if not path.is_file():
            there = [file.stem for file in (root / FOLDER).glob("*.csv")]
            raise unknown(
                "baseline", name_or_path, there or ["none is saved yet, --robustcheck-save=NAME does"]
            )
        records, header = load(path)
        if header.get("integrity tests failed"):
            raise RobustcheckError(
                f"the run that made the baseline {path.name} failed its own integrity tests "
                f"({', '.join(map(str, header['integrity tests failed']))}): mend that and save it again"
            )
        return cls(path, records)

    def column(
        self, measure: str, view: View, ids: Sequence[str], labels: Column, provenance: Provenance
    ) -> Column:
        """Return a measure of the baseline for images by id, in their order: float64 (n,).

        Raises `RobustcheckError` for another image set, other labels where they matter, another codec, label
        policy or seed, and for a view that the baseline has not measured on all of them.
        """
        self._check(provenance)
        if view not in self.records.views:
            raise unknown(f"view in the baseline {self.path.name}", str(view), map(str, self.records.views))
        rows = self._rows(ids)
        if find_measure(measure).needs_labels and (self.records.labels[rows] != labels).any():
            changed = int((self.records.labels[rows] != labels).sum())
            raise RobustcheckError(
                f"the baseline {self.path.name} has other labels for {changed} of {len(ids)} images (a class folder "
                "more or less?): compare under the same labels, or save it anew"
            )
        if not self.records.seen(view)[rows].all():
            raise RobustcheckError(
                f"the baseline {self.path.name} was stopped before it saw all images of {view}"
            )
        return self.records.column(measure, view)[rows]

    def _rows(self, ids: Sequence[str]) -> list[int]:
        """Return the baseline's row of each image; of equal images, one each."""
        rows_of: dict[str, list[int]] = {}
        for row, image_id in enumerate(self.records.ids):
            rows_of.setdefault(image_id, []).append(row)
        missing = len((Counter(ids) - Counter(self.records.ids)).keys())
        if missing or len(ids) != len(self.records):
            raise RobustcheckError(
                f"the baseline {self.path.name} is of another image set: {missing} of {len(ids)} images are "
                f"not among its {len(self.records)}; compare on the same images, or save it anew"
            )
        return [rows_of[image_id].pop(0) for image_id in ids]

    def _check(self, provenance: Provenance) -> None:
        for name in MUST_AGREE:
            then, now = (
                each.codec.settings if name == "codec" else getattr(each, name)
                for each in (self.records.provenance, provenance)
            )
            if then != now:
                raise RobustcheckError(
                    f"the baseline {self.path.name} is of another {name}: {then!r} then, {now!r} now; "
                    "save it anew under what holds now"
                )

    def differences(self, provenance: Provenance) -> Iterator[str]:
        """Yield what differs and may change some predictions by itself."""
        before, after = self.records.provenance.header(), provenance.header()
        for name in MAY_DIFFER:
            then, now = before.get(name), after.get(name)
            if then != now:
                yield f"{name}: {then} then, {now} now"

    def pairs(self, records: Records) -> Iterator[tuple[View, Column, Column]]:
        """Yield, for each view that both have measured on all images, a column of `records` and that of the baseline.

        The measure is accuracy, or without labels whether predictions are kept.
        """
        measure = default_measure(labelled=bool((records.labels >= 0).all()))
        for view in records.views:
            if view in self.records.views and records.seen(view).all():
                old = self.column(measure, view, records.ids, records.labels, records.provenance)
                yield view, records.column(measure, view), old
