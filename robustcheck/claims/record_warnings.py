"""What records alone show to be wrong: with clean accuracy, with attacks, with the order in which attacks stand.

Given as warnings of every run. After Athalye, Carlini, Wagner (arXiv 1802.00420), Carlini et al. (arXiv 1902.06705), and
the flags of AutoAttack (arXiv 2003.01690).

SciPy is imported when it is needed: reports import this module at start-up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping

import numpy as np

from robustcheck.claims.intervals import sign_test
from robustcheck.notation import View, X
from robustcheck.notation.registry import AIM, Strength
from robustcheck.records import Records
from robustcheck.text import fixed

CHANCE_ALPHA = 0.001
_ROUNDING = 1e-3
"""What float32 may add to the size of a perturbation, in pixel levels."""
LEVEL = 0.01
"""Probability that two attacks of equal strength are told apart."""
NOTICEABLE = 0.01
"""A difference in mean p(l_x) below this is negligible."""

NOISE = (
    "Random signs of the same size should do less: the gradient does not reach the pixels, points the wrong way, or is "
    "swamped by rounding"
)
ADAPTIVE = (
    "An attack that goes through the defence should do more: give it more steps, smaller ones, or another gradient "
    "(PGD, :identity, eot=K) before saying anything good of the defence"
)
ITERATED = "Many small steps should do more than one: look at step size and projection, or give it more steps"
TRANSFER = "An attack made on the model itself should do more: its gradient is masked"
LARGER = "A larger epsilon should do more: the gradient is masked, or the steps are too few for it"
NEXT_LARGER = 5
"""An attack is compared with as many of the next larger epsilons, and with the largest."""


def warnings_of(records: Records, classes: int | None) -> list[str]:
    """Return why some records can't be trusted, one or two sentences each.

    `classes` is the number of the classifier's classes; None if it is not known.
    """
    if warning := chance_warning(records, classes):  # then the order of attacks means nothing either
        return [warning]
    return [*order_warnings(records), *_outside_the_ball(records)]


def too_few_to_tell(count: int, classes: int) -> bool:
    """Whether even a model that gets all of `count` images right could have guessed them."""
    return float(classes) ** -count >= CHANCE_ALPHA


def chance_warning(records: Records, classes: int | None) -> str | None:
    """Return why clean accuracy is not far enough above chance to say anything, and what to look at, or None."""
    finding = chance_finding(records, classes)
    return finding and (
        f"{finding}. The other numbers mean nothing until this is fixed: check the weights, the order of the "
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


def stronger_than_it_should_be(records: Records, weaker: View, stronger: View) -> str | None:
    """Return what shows that an attack that should be the weaker of two is the stronger, or None.

    By the probability of l_x, image by image: an exact sign test at 1 %, and a mean that differs noticeably.
    """
    left, right = (records.columns[view]["p_top"] for view in (weaker, stronger))
    both = ~(np.isnan(left) | np.isnan(right))
    if not both.any():
        return None
    gain = right[both] - left[both]  # above 0 where the one that should be weaker took more
    against, for_it = int((gain > 0).sum()), int((gain < 0).sum())
    if gain.mean() < NOTICEABLE or sign_test(against, for_it) > LEVEL:
        return None
    return (
        f"mean p(l_x) is {fixed(left[both].mean(), 3)} under {weaker} and {fixed(right[both].mean(), 3)} under {stronger}: the "
        f"first is the stronger on {against} of {int(both.sum())} images"
    )


def order_warnings(records: Records) -> Iterator[str]:
    """Yield what is out of order among the views that some records have."""
    for weaker, stronger, meaning in _pairs(records.views):
        if problem := stronger_than_it_should_be(records, weaker, stronger):
            yield f"{problem}. {meaning}"


def _pairs(views: tuple[View, ...]) -> Iterator[tuple[View, View, str]]:
    """Yield pairs of views of which the first should be the weaker, and what it means if it is not.

    Views that may be compared are looked up, so that the time is linear in their number.
    """
    place = {view: at for at, view in enumerate(views)}
    like: dict[Hashable, list[View]] = {}
    for other in sorted(views, key=_number):
        for key in _compared_as(other):
            like.setdefault(key, []).append(other)
    for one in views:
        found = [*_stronger_than(one, like)]
        if (counterpart := one.adaptive_counterpart) in place and counterpart is not None:
            found.append((counterpart, ADAPTIVE))
        for other, meaning in sorted(found, key=lambda pair: place[pair[0]]):
            yield one, other, meaning


def _compared_as(view: View) -> Iterator[Hashable]:
    """Yield what weaker views look up a view by."""
    if view.kind == "attack":
        aim = _aim(view)
        if _is_plain(view):
            yield NOISE, view.amount, view.sources
        yield ITERATED, view.amount, view.sources, tuple(aim.items())
        if "from" not in aim:
            yield TRANSFER, view.head, view.sources, view.written
        yield LARGER, view.step, view.sources, view.written


def _stronger_than(view: View, like: Mapping[Hashable, list[View]]) -> Iterator[tuple[View, str]]:
    """Yield the views that should do more than a view, and what it means if they do not."""
    ball = view.amount, view.sources
    if view.kind == "noise":
        yield from ((other, NOISE) for other in like.get((NOISE, *ball), ()) if _is_outranked(view, other))
    if view.kind != "attack":
        return
    iterated = like.get((ITERATED, *ball, view.written), ())
    yield from ((other, ITERATED) for other in iterated if _is_outranked(view, other))
    if "from" in _aim(view):
        others = tuple((key, text) for key, text in view.written if key != "from")
        yield from ((other, TRANSFER) for other in like.get((TRANSFER, view.head, view.sources, others), ()))
    strength = _strength(view)
    if strength and strength.grows:
        sweep = like[LARGER, view.step, view.sources, view.written]
        larger = bisect_right(sweep, view.number, key=lambda other: other.number)
        near = range(larger, min(larger + NEXT_LARGER, len(sweep)))
        for at in dict.fromkeys([*near, *([len(sweep) - 1] if near else [])]):
            yield sweep[at], LARGER


def _number(view: View) -> float:
    """Return an attack's epsilon."""
    return float(view.number) if view.kind == "attack" and view.declared.kind == "attack" else 0.0


def _is_outranked(one: View, other: View) -> bool:
    """Whether the registry says that one step is weaker than another, with the same epsilon on the same images."""
    mine, theirs = _strength(one), _strength(other)
    return mine is not None and theirs is not None and mine.rank < theirs.rank


def _strength(view: View) -> Strength | None:
    return view.declared.strength if view.sources else None


def _aim(view: View) -> dict[str, str]:
    return {key: text for key, text in view.written if key in AIM and key != "loss"}  # any loss, the same aim


def _is_plain(view: View) -> bool:
    """Whether an attack is made on the model itself, and is neither targeted, adaptive nor transferred."""
    return view.kind == "attack" and not {"target", "through", "from", "norm"} & set(_aim(view))
