"""The records of an earlier run, to compare with image by image.

A baseline is a file of records (see `robustcheck.records.csv`) in the folder `robustcheck-baselines` of the
repository, meant to be committed beside the code whose claims it holds.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from robustcheck.atomic_io import remove_abandoned
from robustcheck.errors import RobustcheckError, unknown
from robustcheck.notation import View, X
from robustcheck.records.csv import load, save
from robustcheck.records.measures import default_measure, find_measure
from robustcheck.records.provenance import Provenance
from robustcheck.records.rows import Column
from robustcheck.records.table import Records
from robustcheck.regular_file import is_file, read_regular
from robustcheck.text import listed

DATE = "%Y-%m-%d %H:%M UTC"
"""The form of the date in `Baseline.saved`."""
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
    if name.lower().endswith(".csv"):
        raise RobustcheckError(
            f"a baseline's name is that of its file without .csv, got {name!r}: write {name[:-4]}"
        )
    return root / FOLDER / f"{name}.csv"


def _refuse_other_case(path: Path) -> None:
    """Raise `RobustcheckError` where a file's name differs by case alone: Windows and macOS keep one of the two."""
    names = [file.name for file in path.parent.glob("*") if file.name.lower() == path.name.lower()]
    if names and path.name not in names:
        raise RobustcheckError(
            f"there is {names[0]}, and Windows and macOS take names that differ by case alone for one file: save as "
            f"{names[0].rpartition('.')[0]}, or under another name"
        )


def save_baseline(name: str, root: Path, records: Records, header: Mapping[str, Any]) -> Path:
    """Write records as a baseline, with `header`, and return its file.

    Raises `RobustcheckError` where they lack views or images of the baseline that they would replace, unless the header
    has a reason under "saved anyway", and where the name differs from that of another baseline by case alone.
    """
    path = path_of(name, root)
    _refuse_other_case(path)
    remove_abandoned(path.parent)
    if path.is_file() and not header.get("saved anyway"):
        try:
            old = load(path)[0]
        except RobustcheckError:
            pass  # of an earlier version, or damaged: nobody could compare with it
        else:
            if missing := [*_lacking(old, records)]:
                raise RobustcheckError(
                    f"this run would replace {path.name} by less: {'; '.join(missing)}. Run all tests of the baseline, save "
                    "under another name, or give a reason, which is kept in the file: "
                    "--robustcheck-save-anyway='...'"
                )
    save(records, path, header)
    return path


def _lacking(old: Records, new: Records) -> Iterator[str]:
    """Yield what records lack of those that they would replace, in words."""
    if views := [str(view) for view in old.views if view not in new.columns]:
        yield f"it has no records of {listed(views)}"
    if images := sum((Counter(old.ids) - Counter(new.ids)).values()):
        yield f"{images} of its {len(old)} images are missing"


def _unpaired(before: int, now: int, paired: int) -> Iterator[str]:
    """Yield how many images of a baseline and of this run have no counterpart, in words."""
    if before > paired:
        yield f"{before - paired} of the baseline's {_counted(before, 'image')} missing here"
    if now > paired:
        yield f"{now - paired} of the {_counted(now, 'image')} here missing in the baseline"


@dataclass(frozen=True)
class Baseline:
    """The records of an earlier run."""

    path: Path
    records: Records
    saved: Mapping[str, str] = field(default_factory=dict)
    """Which run made it: date, commit, command, tests, versions."""
    digest: str = ""
    """16 hex digits over the file's bytes."""
    remark: str = ""
    """What a person should know of it, besides what a comparison shows."""

    def __str__(self) -> str:
        commit = self.saved.get("commit", "")
        return ", ".join(
            filter(None, [self.path.name, self.saved.get("date"), commit and f"commit {commit[:12]}"])
        )

    @classmethod
    def read(cls, name_or_path: str, root: Path) -> Baseline:
        """Return a baseline by its name or its file.

        Raises `RobustcheckError` where there is none, where it is damaged, and where the run that made it
        failed its own integrity tests.
        """
        path = Path(name_or_path)
        if not is_file(path):
            path = root / FOLDER / f"{name_or_path}.csv"
        if not is_file(path):
            there = [file.stem for file in (root / FOLDER).glob("*.csv") if file.is_file()]
            raise unknown(
                "baseline", name_or_path, there or ["none is saved yet, --robustcheck-save=NAME does"]
            )
        records, header = load(path)
        if header.get("integrity tests failed"):
            raise RobustcheckError(
                f"the run that made the baseline {path.name} failed its own integrity tests "
                f"({', '.join(map(str, header['integrity tests failed']))}): mend that and save it again"
            )
        digest = hashlib.sha256(read_regular(path)).hexdigest()[:16]
        return replace(cls.of(path, records, header), digest=digest)

    def age(self, now: datetime) -> timedelta | None:
        """Return how long before `now`, with a time zone, the run that made it started; None where it has no date."""
        try:
            made = datetime.strptime(self.saved.get("date", ""), DATE)
        except ValueError:
            return None
        return now - made.replace(tzinfo=UTC)

    @classmethod
    def of(cls, path: Path, records: Records, header: Mapping[str, Any]) -> Baseline:
        """Return the baseline that a file of records holds."""
        saved = header.get("saved")
        texts = {str(key): str(text) for key, text in saved.items()} if isinstance(saved, dict) else {}
        return cls(path, records, texts)

    def column(
        self, measure: str, view: View, ids: Sequence[str], labels: Column, provenance: Provenance
    ) -> Column:
        """Return a measure of the baseline for images by id, in their order: float64 (n,).

        Raises `RobustcheckError` for another image set, other labels where they matter, another codec, label
        policy or seed, and for a view that the baseline has not measured on all of them.
        """
        self._check(provenance)
        if view not in self.records.columns:
            raise unknown(f"view in the baseline {self.path.name}", str(view), map(str, self.records.views))
        rows = self._rows_of_all(ids, labels)
        if find_measure(measure).needs_labels:
            self._check_labels(labels, rows)
        if not self.records.seen(view)[rows].all():
            raise RobustcheckError(
                f"the baseline {self.path.name} was stopped before it saw all images of {view}"
            )
        return self.records.column(measure, view)[rows]

    def _check_labels(self, labels: Column, rows: Column) -> None:
        if changed := int((self.records.labels[rows] != labels).sum()):
            raise RobustcheckError(
                f"the baseline {self.path.name} has other labels for {changed} of {len(rows)} images (a class folder "
                "more or less?): compare under the same labels, or save it anew"
            )

    def rows_by_name(self, names: Sequence[str], labels: Column) -> Column:
        """Return the baseline's row of each image by its name, -1 where it has none: int64 (n,)."""
        return self._paired(self.records.names, names, labels)

    def _rows(self, ids: Sequence[str], labels: Column) -> Column:
        """Return the baseline's row of each image by its pixels, -1 where it has none: int64 (n,)."""
        return self._paired(self.records.ids, ids, labels)

    def _paired(self, theirs: Sequence[str], ids: Sequence[str], labels: Column) -> Column:
        """Return the row of `theirs`, the baseline's, for each of `ids`, -1 where there is none: int64 (n,).

        Of images with equal ones those with equal labels are paired first.
        """
        rows = np.full(len(ids), -1, np.int64)
        free: defaultdict[tuple[str, int] | str, list[int]] = defaultdict(list)
        taken = set()
        for row, key in enumerate(zip(theirs, self.records.labels.tolist(), strict=True)):
            free[key].append(row)
            free[key[0]].append(row)
        for by_label in (True, False):
            for at, (image_id, label) in enumerate(zip(ids, labels.tolist(), strict=True)):
                candidates = free[(image_id, label) if by_label else image_id]
                while image_id and rows[at] < 0 and candidates:
                    row = candidates.pop(0)
                    if row not in taken:
                        taken.add(row)
                        rows[at] = row
        return rows

    def _rows_of_all(self, ids: Sequence[str], labels: Column) -> Column:
        rows = self._rows(ids, labels)
        if unpaired := [*_unpaired(len(self.records), len(ids), int((rows >= 0).sum()))]:
            raise RobustcheckError(
                f"the baseline {self.path.name} is of another image set: {', '.join(unpaired)}; compare on the same "
                "images, or save it anew"
            )
        return rows

    def _check(self, provenance: Provenance) -> None:
        for name in MUST_AGREE:
            then, now = (
                each.codec.settings if name == "codec" else getattr(each, name)
                for each in (self.records.provenance, provenance)
            )
            if then != now:
                raise RobustcheckError(
                    f"the baseline {self.path.name} differs in {name}: {then!r} then, {now!r} now; compare under the "
                    "same, or save it anew"
                )

    def notes(self, records: Records) -> Iterator[str]:
        """Yield what a person should know of a comparison: what differs besides, and what has no counterpart."""
        yield from filter(None, [self.remark])
        then, now = self.records.provenance.model.name, records.provenance.model.name
        if then != now:
            yield f"model: {then} then, {now} now"
        yield from self.differences(records.provenance)
        for views, where in (
            ([view for view in self.records.views if view not in records.columns], "in the baseline only"),
            ([view for view in records.views if view not in self.records.columns], "in this run only"),
        ):
            if views:
                yield f"{_counted(len(views), 'view')} without counterpart, {where}: {listed([*map(str, views)])}"
        seen = records.seen(X)
        paired = int((self._rows(records.ids, records.labels)[seen] >= 0).sum())
        yield from _unpaired(int(self.records.seen(X).sum()), int(seen.sum()), paired)
        for these, name in ((records, "this run"), (self.records, "the baseline")):
            if few := [view for view in these.views if not these.seen(view).all()]:
                count = int(these.seen(few[0]).sum())
                yield f"{name} stopped early: {few[0]} was evaluated on {count} of {len(these)} images"

    def differences(self, provenance: Provenance) -> Iterator[str]:
        """Yield what differs and may change some predictions by itself."""
        before, after = self.records.provenance.header(), provenance.header()
        for name in MAY_DIFFER:
            then, now = before.get(name), after.get(name)
            if then != now:
                yield f"{name}: {then} then, {now} now"

    def pairs(self, records: Records) -> Iterator[tuple[View, Column, Column, Column]]:
        """Yield, for each view that both have, on the images that both evaluated: rows of `records`, new and old values.

        The measure is accuracy, or without labels whether predictions are kept. Raises `RobustcheckError` where numbers of
        the two mean different things: another codec, label policy or seed, other labels.
        """
        self._check(records.provenance)
        measure = default_measure(labelled=records.is_labelled and self.records.is_labelled)
        rows = self._rows(records.ids, records.labels)
        for view in records.views:
            if view not in self.records.columns:
                continue
            here = np.flatnonzero((rows >= 0) & records.seen(view))
            here = here[self.records.seen(view)[rows[here]]]
            if not len(here):
                continue
            if find_measure(measure).needs_labels:
                self._check_labels(records.labels[here], rows[here])
            yield (
                view,
                here,
                records.column(measure, view)[here],
                self.records.column(measure, view)[rows[here]],
            )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
