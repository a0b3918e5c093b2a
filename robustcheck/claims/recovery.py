"""Whether an attack took enough for the share that came back to mean anything.

Recovery divides by what the attack took. Where that is nothing but noise, the quotient is any number at all: two
images lost, one won back, recovery 50 %. So it is refused unless both hold:

- The images lost outnumber the images won by more than chance does: the exact sign test (McNemar) of the paired
  outcomes, one-sided at 5 %. This is what bites on small sets: it takes at least five images lost and none won.
- The attack took at least one percentage point. This is what bites on large sets: of 50,000 images a loss of
  300 against 250 is significant, yet a tenth of a point, which another device or precision moves as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustcheck.claims.claim import Claim
from robustcheck.claims.columns import per_image
from robustcheck.claims.expression import Quotient, Term
from robustcheck.claims.intervals import sign_test
from robustcheck.errors import RobustcheckError
from robustcheck.text import percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_TAKEN = 0.01
LEVEL = 0.05


def check_denominator(claim: Claim, columns: NDArray[np.float64]) -> None:
    """Raise `RobustcheckError` with the numbers where the claim's quotient would divide by next to nothing."""
    if isinstance(claim.left, Quotient):
        check_quotient(claim.left, claim.terms, columns)


def check_quotient(quotient: Quotient, terms: tuple[Term, ...], columns: NDArray[np.float64]) -> None:
    """Raise `RobustcheckError` with the numbers where the quotient would divide by next to nothing.

    columns: (n, len(terms)), a row per image.
    """
    taken = per_image(quotient.denominator, terms, columns)  # (n,)
    lost, won = int((taken > 0).sum()), int((taken < 0).sum())
    chance = sign_test(lost, won)
    if chance <= LEVEL and taken.mean() >= LEAST_TAKEN - 1e-12:
        return
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
