"""A finished run as JSON: everything on the page as data, by the schema in `schema.json` beside this file.

`format` is the schema's version: readers of one version read every report of it; fields may be added under the
same version, none is renamed or given another meaning.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import robustcheck
from robustcheck.report.summary import Facts

FORMAT = 1
SCHEMA = Path(__file__).with_name("schema.json")


def render(facts: Facts) -> str:
    """Return the run as JSON in ASCII; numbers that JSON lacks, NaN and infinity, are null."""
    plain = {"format": FORMAT, "robustcheck": robustcheck.__version__, **asdict(facts)}
    for study in plain["studies"]:
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
