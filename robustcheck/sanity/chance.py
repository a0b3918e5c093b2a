"""Whether clean accuracy is far enough above chance for anything else to mean something."""

from __future__ import annotations

from robustcheck.notation import X
from robustcheck.records import Records

CHANCE_ALPHA = 0.001


def too_few_to_tell(count: int, classes: int) -> bool:
    """Whether even a model that gets all of `count` images right could have guessed them."""
    return float(classes) ** -count >= CHANCE_ALPHA


def chance_warning(records: Records, classes: int | None) -> str | None:
    """Return why clean accuracy is not far enough above chance to say anything, or None.

    A model that guesses can't be robust or not; most often labels, class order or normalisation are wrong.
    It is far enough when guessing would do as well in less than one of 1000 image sets (exact binomial
    test). Nothing is said without labels, where the number of classes is not known, and where the images
    are too few to tell.
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
        f"classes gives {count / classes:.2g}. No other number here means anything before that is mended: look "
        "at the weights, the order of the classes, the labels and the normalisation."
    )
