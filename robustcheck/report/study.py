"""One classifier on one image set: its records, and how those of several processes become one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from robustcheck.notation import parse
from robustcheck.records import Records
from robustcheck.records.provenance import Provenance
from robustcheck.records.rows import from_bytes, to_bytes
from robustcheck.report.panel import Panel


@dataclass(frozen=True)
class Study:
    """One classifier on one image set."""

    records: Records
    classes: int | None
    """How many classes the classifier knows; None where it was never asked."""
    panels: tuple[Panel, ...] = ()
    """Pictures of some of its images, where a report that shows them was asked for."""

    def to_plain(self) -> dict[str, Any]:
        """Return text, numbers and bytes alone, exact to the bit, for `from_plain` in another process."""
        records = self.records
        header = {
            "ids": records.ids,
            "names": records.names,
            "provenance": records.provenance.header(),
            "labels": records.labels.tolist(),
            "drawn": records.order.tolist(),
        }
        return {
            "header": json.dumps(header),  # in ASCII, whatever a file's name is made of
            "rows": to_bytes({str(view): rows for view, rows in records.columns.items()}),
            "classes": self.classes,
            "panels": [asdict(panel) for panel in self.panels],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Study:
        """Return the study that `to_plain` was asked of."""
        header = json.loads(plain["header"])
        columns = {parse(view): rows for view, rows in from_bytes(plain["rows"]).items()}
        labels = np.array(header["labels"], dtype=np.int64)
        provenance = Provenance.from_header(header["provenance"])
        drawn = np.array(header["drawn"], dtype=np.int64)
        records = Records(tuple(header["ids"]), tuple(header["names"]), labels, columns, provenance, drawn)
        return cls(records, plain["classes"], tuple(map(Panel.from_plain, plain["panels"])))


def merge_studies(studies: Iterable[Study]) -> tuple[Study, ...]:
    """Return the studies, those of one subject in one: each worker of pytest-xdist ran some of the tests."""
    merged: list[Study] = []
    for study in studies:
        same = next((at for at, other in enumerate(merged) if _same_subject(other, study)), None)
        if same is None:
            merged.append(study)
        else:
            merged[same] = _merged(merged[same], study)
    return tuple(merged)


def _merged(one: Study, other: Study) -> Study:
    """Return both in one; of their pictures those of the one that has more."""
    return replace(
        one,
        records=one.records.merge(other.records),
        classes=one.classes or other.classes,
        panels=max(one.panels, other.panels, key=len),
    )


def _same_subject(one: Study, other: Study) -> bool:
    mine, theirs = one.records, other.records
    return not (mine.image_differences(theirs) or mine.provenance.conflicts(theirs.provenance))
