"""Which of two attacks must be the stronger: if it is not, one of them does not do what it says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from robustcheck.claims.intervals import sign_test
from robustcheck.notation import View
from robustcheck.notation.registry import AIM, Strength
from robustcheck.records import Records

LEVEL = 0.01
"""Probability that two attacks of equal strength are told apart."""
NOTICEABLE = 0.01
"""A difference in mean p(l_x) below this is negligible."""


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
        f"mean p(l_x) is {left[both].mean():.3f} under {weaker} and {right[both].mean():.3f} under {stronger}: the "
        f"first is the stronger on {against} of {int(both.sum())} images"
    )


def order_warnings(records: Records) -> Iterator[str]:
    """Yield what is out of order among the views that some records have."""
    for weaker, stronger, meaning in _pairs(records.views):
        if problem := stronger_than_it_should_be(records, weaker, stronger):
            yield f"{problem}. {meaning}"


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


def _pairs(views: tuple[View, ...]) -> Iterator[tuple[View, View, str]]:
    """Yield pairs of views of which the first should be the weaker, and what it means if it is not."""
    for one in views:
        for other in views:
            if one == other:
                continue
            if one.kind == "noise" and _is_plain(other) and _is_outranked(one, other):
                yield one, other, NOISE
            if one.adaptive_counterpart == other:
                yield one, other, ADAPTIVE
            if one.kind == other.kind == "attack" and one.sources == other.sources:
                yield from _of_two_attacks(one, other)


def _of_two_attacks(one: View, other: View) -> Iterator[tuple[View, View, str]]:
    mine, theirs = dict(one.written), dict(other.written)
    if _is_outranked(one, other) and mine == _aim(other):
        yield one, other, ITERATED
    if one.head == other.head and "from" in mine and mine == theirs | {"from": mine["from"]}:
        yield one, other, TRANSFER
    strength = _strength(one)
    if (
        strength
        and strength.grows
        and one.step == other.step
        and mine == theirs
        and one.number < other.number
    ):
        yield one, other, LARGER


def _is_outranked(one: View, other: View) -> bool:
    """Whether the registry says that one step is weaker than another, with the same epsilon on the same images."""
    mine, theirs = _strength(one), _strength(other)
    is_same_ball = one.amount == other.amount and one.sources == other.sources
    return is_same_ball and mine is not None and theirs is not None and mine.rank < theirs.rank


def _strength(view: View) -> Strength | None:
    return view.declared.strength if view.sources else None


def _aim(view: View) -> dict[str, str]:
    return {key: text for key, text in view.written if key in AIM}


def _is_plain(view: View) -> bool:
    """Whether an attack is made on the model itself, and is neither targeted, adaptive nor transferred."""
    return view.kind == "attack" and not {"target", "through", "from", "norm"} & set(_aim(view))
