"""What records alone show to be wrong: with clean accuracy, with attacks, with the order in which attacks stand.

Given as warnings of every run. After Athalye, Carlini, Wagner (arXiv 1802.00420), Carlini et al. (arXiv 1902.06705), and
the flags of AutoAttack (arXiv 2003.01690).

SciPy is imported when it is needed: reports import this module at start-up.
"""

from __future__ import annotations

from collections.abc import Iterator

from robustcheck.claims.attack_order import order_warnings
from robustcheck.notation import X
from robustcheck.records import Records

CHANCE_ALPHA = 0.001
_ROUNDING = 1e-3
"""What float32 may add to the size of a perturbation, in pixel levels."""


def warnings_of(records: Records, classes: int | None) -> list[str]:
    """Return why some records can't be trusted, one or two sentences each.

    `classes` is the number of the classifier's classes; None if it is not known.
    """
    warning = chance_warning(records, classes)
    if warning is not None:  # then the order of attacks means nothing either
        return [warning]
    return [*order_warnings(records), *_outside_the_ball(records)]


def too_few_to_tell(count: int, classes: int) -> bool:
    """Whether even a model that gets all of `count` images right could have guessed them."""
    return float(classes) ** -count >= CHANCE_ALPHA


def chance_warning(records: Records, classes: int | None) -> str | None:
    """Return why clean accuracy is not far enough above chance to say anything, and what to look at, or None."""
    finding = chance_finding(records, classes)
    return finding and (
        f"{finding}. No other number here means anything before that is mended: look at the weights, the order of the "
        "classes, the labels and the normalisation."
    )


def chance_finding(records: Records, classes: int | None) -> str | None:
    """Return why clean accuracy is not far enough above chance to say anything, or None.

    A model that guesses can't be robust or not; most often labels, class order or normalisation are wrong.
    It is far enough when guessing would do as well in less than one of 1000 image sets (exact binomial
    test). There is no warning without labels, if the number of classes is not known, or if the images are too few
    to tell.
    """
    seen = records.seen(X) & (records.labels >= 0)
    count = int(seen.sum())
    if classes is None or too_few_to_tell(count, classes):
        return None
    from scipy.special import bdtrc

    correct = int(records.columns[X]["correct"][seen].sum())
    chance = float(bdtrc(correct - 1, count, 1 / classes))
    if chance < CHANCE_ALPHA:
        return None
    place = "at chance" if chance > 0.05 else "hardly above chance"
    return (
        f"clean accuracy is {place}: {correct} of {count} images right, where guessing among {classes} "
        f"classes gives {count / classes:.2g}"
    )


def _outside_the_ball(records: Records) -> Iterator[str]:
    for view in records.views:
        if view.kind != "attack" or view.sources != (X,) or view.declared.strength is None:
            continue
        column, norm = ("l2", "L2") if view.options.get("norm") == "2" else ("linf", "L-inf")
        sizes = records.columns[view][column][records.seen(view)]
        if len(sizes) and sizes.max() > view.number + _ROUNDING:
            yield f"{view} moved an image by {sizes.max():g} levels ({norm}), more than its epsilon"
