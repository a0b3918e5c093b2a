"""Claims declared together: with probability 1 - alpha, all that hold are true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robustcheck.claims.verdict import State, Verdict


def family_alpha(size: int, alpha: float = 0.05) -> float:
    """Return the alpha at which the test of each claim of a family stops: what passes at it passes Holm."""
    return alpha / max(1, size)


def holm(verdicts: Sequence[Verdict], *, alpha: float = 0.05) -> list[Verdict]:
    """Return the verdicts, of which those that hold do so jointly with an error of at most alpha.

    A gate that is green only if every claim holds needs no correction; one that reads which of its claims hold
    does. Evidence E against the claim's being false is a p-value of 1/E (Ville, at any stopping time); Holm's
    step-down sorts these and asks alpha/K of the first, alpha/(K - 1) of the second, down to alpha of the last,
    until one fails. So a claim stopped at `family_alpha` that was not shown may yet hold, and one stopped at
    alpha itself may turn to "not shown". Exact verdicts keep their state: their evidence is infinite.

    Holm: *A simple sequentially rejective multiple test procedure* (1979).
    """
    note = f"jointly with {len(verdicts)} claims (Holm)"
    joint, is_passing = list(verdicts), True
    order = sorted(range(len(verdicts)), key=lambda at: -verdicts[at].evidence_for)
    for step, at in enumerate(order):
        verdict = verdicts[at]
        is_passing = is_passing and verdict.evidence_for * alpha >= len(verdicts) - step
        if not verdict.exact:
            state: State = "refuted" if verdict.state == "refuted" else "holds" if is_passing else "not shown"
            joint[at] = replace(verdict, state=state, alpha=alpha, notes=(*verdict.notes, note))
    return joint
