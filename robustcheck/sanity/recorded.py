"""What can be seen in records alone: told of every run."""

from __future__ import annotations

from collections.abc import Iterator

from robustcheck.notation import X
from robustcheck.records import Records
from robustcheck.sanity.chance import chance_warning
from robustcheck.sanity.strength import found_in


def warnings_of(records: Records, classes: int | None) -> list[str]:
    """Return what in some records says that they can't be trusted, a sentence or two each.

    `classes` is how many the classifier knows; None where it was never asked.
    """
    warning = chance_warning(records, classes)
    if warning is not None:  # then the order of attacks means nothing either
        return [warning]
    return [*found_in(records), *_outside_the_ball(records)]


def _outside_the_ball(records: Records) -> Iterator[str]:
    for view in records.views:
        if view.kind != "attack" or view.sources != (X,) or view.step not in {"Adv", "PGD"}:
            continue
        column, norm = ("l2", "L2") if view.option("norm") == "2" else ("linf", "L-inf")
        sizes = records.columns[view][column][records.seen(view)]
        if len(sizes) and sizes.max() > view.number + 1e-3:
            yield f"{view} moved an image by {sizes.max():g} levels ({norm}), more than its epsilon"
