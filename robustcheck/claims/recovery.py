"""Recovery: whether an attack took enough for a recovery to mean anything, and the bounds of one.

Recovery divides by what the attack took. Where that is only noise, the quotient can be any number: two images lost,
one won back, recovery 50 %. So it is refused unless both hold:

- The images lost outnumber the images won by more than chance does: the exact sign test (McNemar) of the paired
  outcomes, one-sided at 5 %. This decides on small sets: it needs at least five images lost and none won.
- The attack took at least one percentage point. This decides on large sets: of 50,000 images a loss of 300 against
  250 is significant, yet a tenth of a point, as much as another device or precision may change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from robustcheck.claims.assisted_bets import AssistedGame, OldValues
from robustcheck.claims.bets import Game
from robustcheck.claims.columns import per_image
from robustcheck.claims.expression import Quotient, Term
from robustcheck.claims.intervals import sign_test
from robustcheck.errors import RobustcheckError
from robustcheck.text import percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robustcheck.claims.test_spec import TestSpec

LEAST_TAKEN = 0.01
"""The least that an attack must take from the measure."""
LEVEL = 0.05
"""The level of the sign test."""
FARTHEST = 16.0
"""A ratio beyond this is reported as unbounded."""


def check_quotient(quotient: Quotient, terms: tuple[Term, ...], columns: NDArray[np.float64]) -> None:
    """Raise `RobustcheckError` with the numbers where the quotient would divide by next to nothing.

    columns: (n, len(terms)), a row per image.
    """
    taken = per_image(quotient.denominator, terms, columns)  # (n,)
    chance = sign_test(int((taken > 0).sum()), int((taken < 0).sum()))
    if chance > LEVEL or taken.mean() < LEAST_TAKEN - 1e-12:
        raise refusal(quotient, terms, columns)


def refusal(quotient: Quotient, terms: tuple[Term, ...], columns: NDArray[np.float64]) -> RobustcheckError:
    """Return the error that says how little the attack took."""
    taken = per_image(quotient.denominator, terms, columns)  # (n,)
    lost, won = int((taken > 0).sum()), int((taken < 0).sum())
    means = dict(zip(terms, columns.mean(axis=0).tolist(), strict=True))
    shown = ", ".join(
        f"{measure}({view}) {percent(means[measure, view])}" for measure, view in quotient.denominator.terms
    )
    return RobustcheckError(
        f"{quotient} is refused: the attack took next to nothing, so there is nothing to recover: {shown}; "
        f"{lost} of {len(taken)} images lost, {won} won (chance {sign_test(lost, won):.2g}, at most {LEVEL:g} "
        f"allowed; at least {percent(LEAST_TAKEN, 0)} must be taken). Use more images or a stronger attack, or claim "
        f"the accuracy itself"
    )


def ratio_bounds(
    quotient: Quotient,
    terms: tuple[Term, ...],
    seen: NDArray[np.float64],
    spec: TestSpec,
    *,
    upward: bool,
    old: NDArray[np.float64] | None = None,
) -> tuple[float, float]:
    """Return bounds of numerator / denominator: between them no ratio is refuted by the images seen.

    seen: (n, len(terms)) in the order drawn. A ratio c is refuted where numerator - c * denominator is shown to
    differ from 0 by the betting test. The bound on the claim's side has the error alpha, the other alpha_refute.
    old: (N, len(terms)), the old measures of all images as drawn, which help to refute: of numerator - c * denominator
    anew for each c.
    """
    numerator = per_image(quotient.numerator, terms, seen)
    denominator = per_image(quotient.denominator, terms, seen)
    alphas = (spec.alpha, spec.alpha_refute) if upward else (spec.alpha_refute, spec.alpha)

    def refuted(ratio: float, *, up: bool) -> bool:
        low, high = (quotient.numerator - quotient.denominator * ratio).range
        against = replace(spec, threshold=0.0, low=low, high=high, tolerance=0.0, strict=False)
        values = against.scaled(numerator - ratio * denominator)
        game: Game | AssistedGame = against.game
        if old is not None:
            before = per_image(quotient.numerator - quotient.denominator * ratio, terms, old)
            game = AssistedGame(against.game, OldValues.of(against, before))
        return game.evidence(values, up=up) >= -math.log(alphas[0] if up else alphas[1])

    point = float(numerator.mean() / denominator.mean()) if denominator.mean() else 0.0
    point = min(FARTHEST, max(-FARTHEST, point))
    low = edge(lambda ratio: refuted(ratio, up=True), point, -FARTHEST, steps=24)
    high = edge(lambda ratio: refuted(ratio, up=False), point, FARTHEST, steps=24)
    return low, high


def edge(excluded: Callable[[float], bool], inside: float, outside: float, *, steps: int = 40) -> float:
    """Return where `excluded` begins on the way from a point inside to one outside, by bisection.

    The point returned is not excluded; infinite where the one outside is not excluded either.
    """
    if not excluded(outside):
        return math.copysign(math.inf, outside - inside)
    for _ in range(steps):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if excluded(middle) else (middle, outside)
    return inside
