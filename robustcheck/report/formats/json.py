"""A finished run as JSON: everything on the page as data, by the schema in `schema.json` beside this file.

`format` is the version that readers rely on: under one, fields may be added, and none is renamed or given another
meaning. `schema` counts the additions.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import robustcheck
from robustcheck.atomic_io import atomic_write
from robustcheck.report.run import FinishedRun
from robustcheck.report.summary import Summary

NAME = "json"
SUFFIX = ".json"
FORMAT = 1
SCHEMA_VERSION = 3
"""Raised with each release of this package that adds fields; docs/reports.md lists what each added.

2: of claims id, name, role, verdict, blind_notes, against_baseline, expected_to_fail, the state "expected to fail"; of checks
the state "warned". 3: mutation; forecast; of rows rising; of studies unfinished.
"""
SCHEMA = Path(__file__).with_name("schema.json")


def write(_run: FinishedRun, summary: Summary, path: Path) -> list[Path]:
    """Write the run as JSON."""
    atomic_write(path, render(summary))
    return [path]


def render(summary: Summary) -> str:
    """Return the run as JSON in ASCII; numbers that JSON lacks, NaN and infinity, are null."""
    versions = {"format": FORMAT, "schema": SCHEMA_VERSION, "robustcheck": robustcheck.__version__}
    plain = {**versions, **asdict(summary)}
    plain["claims"] += plain.pop("compared")
    for described, claim in zip(plain["claims"], summary.claims + summary.compared, strict=True):
        described |= {"state": claim.outcome, "verdict": claim.state}
    for study in plain["studies"]:
        del study["brief"]  # of the provenance
        for row in study["rows"]:
            row.update(row.pop("means"))  # a field for each measure
        for panel in study["panels"]:
            for picture in panel["pictures"]:
                del picture["data"]  # pixels are the page's
    return json.dumps(_finite(plain), indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
