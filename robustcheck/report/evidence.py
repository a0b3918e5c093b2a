"""What is added to a failing test: the images that count most against what it claimed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from robustcheck.claims import Claim, Subject, changes_since
from robustcheck.claims.columns import per_image
from robustcheck.claims.expression import Linear
from robustcheck.notation import View, X
from robustcheck.records import MEASURES, Records
from robustcheck.robustness import Robustness
from robustcheck.text import fixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_IMAGES = 5
WIDTH = 80
_DIGITS = 9
"""Values that differ by less differ by floating point alone."""


def evidence(subject: Subject, robustness: Robustness) -> list[str]:
    """Return the images that a failed claim, or a view that got worse, owes its verdict to: 80 columns."""
    if isinstance(subject, View):
        lines = lost_images(subject, robustness)
    else:
        lines = worst_images(subject, robustness.records)
    wrapper = textwrap.TextWrapper(WIDTH, subsequent_indent="      ", break_on_hyphens=False)
    return [part for line in lines for part in wrapper.wrap(line)]


def lost_images(view: View, robustness: Robustness) -> list[str]:
    """Return what changed since the baseline, and a line for each of the images that were lost furthest."""
    if robustness.baseline is None:
        return []
    records = robustness.records
    change = dict(changes_since(robustness.baseline, records)).get(view)
    if change is None:
        return []
    lost = (
        f"  lost: {_name(records, image)}" for image in _least_sure(records, view, change.lost)[:MOST_IMAGES]
    )
    return [f"since the baseline {view}: {change!r}", *lost]


def worst_images(claim: Claim, records: Records) -> list[str]:
    """Return a line for each of the images that pull the claim's mean furthest to the wrong side."""
    against, seen = _against(claim, records)
    if not against:
        return []
    worst = against[:MOST_IMAGES]
    head = f"worst images ({len(worst)} of {len(against)} that count against it, of {seen} seen):"
    return [head, *(f"  {_image(claim, records, image)}" for image in worst)]


def rows_against(subject: Subject, robustness: Robustness) -> list[int]:
    """Return the images that a failed claim owes its verdict to, the worst first; of a view those lost since the
    baseline.
    """
    if not isinstance(subject, View):
        return _against(subject, robustness.records)[0]
    if robustness.baseline is None:
        return []
    changes = dict(changes_since(robustness.baseline, robustness.records))
    return _least_sure(robustness.records, subject, changes[subject].lost) if subject in changes else []


def _against(claim: Claim, records: Records) -> tuple[list[int], int]:
    """Return the images that count against a claim, the worst first, and how many were seen.

    Of images that count the same, such as wrong ones, the model is furthest from right on the worst.
    """
    terms = claim.terms
    columns = np.stack([records.columns[view][MEASURES[measure].column] for measure, view in terms], axis=1)
    seen = np.flatnonzero(~np.isnan(columns).any(axis=1))
    sign = 1 if claim.upward else -1
    values = per_image(claim.form, terms, columns[seen]) * sign
    sure = np.stack([_sureness(records, measure, view) for measure, view in terms], axis=1)
    surplus = per_image(Linear(claim.form.weights), terms, sure[seen]) * sign
    order = np.lexsort((surplus, values.round(_DIGITS)))
    return seen[order[values[order] < 0]].tolist(), len(seen)


def _sureness(records: Records, measure: str, view: View) -> NDArray[np.float64]:
    """Return p(l_x) of each image; where l_x is not its label, what the label has of the probability at most: (N,)."""
    sure = records.columns[view]["p_top"].astype(np.float64)
    if not MEASURES[measure].needs_labels or X not in records.columns:
        return sure
    return np.where(records.columns[X]["correct"] == 0, 1 - sure, sure)


def _least_sure(records: Records, view: View, images: Iterable[int]) -> list[int]:
    """Return images by p(top) under a view, from the least."""
    return sorted(images, key=lambda image: float(records.columns[view]["p_top"][image]))


def _image(claim: Claim, records: Records, image: int) -> str:
    parts = [_name(records, image)]
    for view in claim.views:
        columns = records.columns[view]
        parts.append(f"{view} -> {columns['prediction'][image]}, p(top) {fixed(columns['p_top'][image], 2)}")
    return "; ".join(parts)


def _name(records: Records, image: int) -> str:
    label = records.labels[image]
    return f"{records.names[image]!r}"[1:-1] + ("" if label < 0 else f" (label {label})")
