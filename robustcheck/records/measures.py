"""What is measured of each image under each view: a row per column of the table, from which all else derives.

A new measure is a row here and its formula in `robustcheck.evaluation.measures`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from robustcheck.errors import unknown


@dataclass(frozen=True)
class Measure:
    """A number per image and view, and what is known of it before any image was seen."""

    column: str
    """Its name in the table and in files."""
    summary: str
    name: str = ""
    """What claims call its mean; "" for a column that no claim can be about. Named ones lie in [0, 1]."""
    kind: Literal["class", "binary", "number"] = "number"
    range: tuple[float, float] = (0.0, 1.0)
    label: str = ""
    """What tables call its mean."""
    heading: str = ""
    """What the page calls it, where it is a column of its own."""
    needs_labels: bool = False
    """NaN for an image without a label."""
    is_optional: bool = False
    """NaN for an image under a view that has none. Clean images have one: readers of CSV take a column's type from there."""
    since: int = 2
    """The first version of the files (`robustcheck.records.schema`) that have it."""
    is_derived: bool = False
    """It follows from the predictions and the labels, so that no CSV file holds it."""

    @property
    def binary(self) -> bool:
        """Whether it is 0 or 1."""
        return self.kind == "binary"


_CLASS = "class with the largest logit; -1 where the view was not evaluated"
_RIGHT = "1 where the prediction is the label"
_P_TOP = "probability of the clean image's top label"
_KEPT = "1 where the prediction is the clean image's"
_LINF = "largest change of a sample from the clean image, in pixel levels"
_RISING = (
    "1 where an attack had not succeeded and its loss was still rising when it stopped; missing where unknown"
)
_TABLE = (
    Measure("prediction", _CLASS, kind="class", range=(0, 2**31)),
    Measure("correct", _RIGHT, "accuracy", "binary", label="top-1", needs_labels=True, is_derived=True),
    Measure("p_top", _P_TOP, "top_probability", range=(0, 1 + 1e-6), label="p(top)", heading="p(l_x)"),
    Measure("kept", _KEPT, "kept", "binary", label="kept", is_derived=True),
    Measure("linf", _LINF, range=(0, 255)),
    Measure("l2", "L2 norm of that change", range=(0, math.inf)),
    Measure("rising", _RISING, kind="binary", is_optional=True, since=3),
)
TABLE: Mapping[str, Measure] = {measure.column: measure for measure in _TABLE}
"""The columns of the table by name, in order."""
COLUMNS = tuple(TABLE)
MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in _TABLE if measure.name}
"""The measures that claims can be about, by what they call them."""


def find_measure(name: str) -> Measure:
    """Return a measure by its column or by what claims call it; raises `RobustcheckError` for an unknown name."""
    measure = MEASURES.get(name) or TABLE.get(name)
    if measure is None:
        raise unknown("measure", name, {*TABLE, *MEASURES})
    return measure


def default_measure(*, labelled: bool) -> str:
    """Return what is compared unless something else is asked for: accuracy, or without labels the first that needs none.

    >>> default_measure(labelled=True), default_measure(labelled=False)
    ('accuracy', 'kept')
    """
    shares = (measure for measure in MEASURES.values() if measure.binary)
    return next(measure.name for measure in shares if labelled or not measure.needs_labels)
