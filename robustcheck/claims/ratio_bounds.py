"""Bounds of a ratio that stay valid wherever a sequential test stopped."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from robustcheck.claims.bets import Fortunes
from robustcheck.claims.columns import per_image
from robustcheck.claims.expression import Quotient, Term
from robustcheck.claims.ratio import FARTHEST, edge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robustcheck.claims.test_spec import Rules


def ratio_bounds(
    quotient: Quotient, terms: tuple[Term, ...], seen: NDArray[np.float64], rules: Rules, *, upward: bool
) -> tuple[float, float]:
    """Return bounds of numerator / denominator: between them no ratio is refuted by the images seen.

    seen: (n, len(terms)) in the order drawn. A ratio c is refuted where numerator - c * denominator is shown to
    differ from 0 by the betting test. The bound on the claim's side has the error alpha, the other alpha_refute.
    """
    numerator = per_image(quotient.numerator, terms, seen)
    denominator = per_image(quotient.denominator, terms, seen)
    alphas = (rules.alpha, rules.alpha_refute) if upward else (rules.alpha_refute, rules.alpha)

    def refuted(ratio: float, *, up: bool) -> bool:
        low, high = (quotient.numerator - quotient.denominator * ratio).range
        against = replace(rules, threshold=0.0, low=low, high=high, tolerance=0.0, strict=False)
        values = against.scaled(numerator - ratio * denominator)
        fortunes = against.game.after(Fortunes.start(), values, 0, 0.0, up=up, down=not up)
        best, alpha = (fortunes.best_up, alphas[0]) if up else (fortunes.best_down, alphas[1])
        return best >= -math.log(alpha)

    point = float(numerator.mean() / denominator.mean()) if denominator.mean() else 0.0
    point = min(FARTHEST, max(-FARTHEST, point))
    low = edge(lambda ratio: refuted(ratio, up=True), point, -FARTHEST, steps=24)
    high = edge(lambda ratio: refuted(ratio, up=False), point, FARTHEST, steps=24)
    return low, high
