"""What became of a claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robustcheck.errors import ClaimFailed

State = Literal["holds", "refuted", "not shown"]
About = Literal["testset", "population"]
Relation = Literal[">=", ">", "<=", "<"]


@dataclass(frozen=True)
class Verdict:
    """A mean against a threshold, and what the images seen say of it. True where the claim holds.

    `estimate`, `low`, `high` and `threshold` are of one quantity: what stands left of the relation, less the
    measures right of it. `low` and `high` bound it wherever the test stopped; the bound that the claim is about
    is wrong with probability at most `alpha`, the other with probability at most `alpha_refute`. Both equal the
    estimate where the verdict is `exact`: every image was seen, and nothing is left to chance.

    `repr` explains in one line, `explain()` in at most eight.
    """

    state: State
    seen: int
    population: int | None
    estimate: float
    low: float
    high: float
    evidence_for: float
    """How often a bettor against the claim multiplied: for a false claim, 1/alpha with probability alpha at most."""
    evidence_against: float
    needed: int | None = None
    """About how many further images decide it; None where it is decided, or where no number would."""
    alpha: float = 0.05
    alpha_refute: float = 0.01
    threshold: float = 0.0
    relation: Relation = ">="
    tolerance: float = 0.0
    about: About = "testset"
    exact: bool = False
    claim: str | None = None
    sides: tuple[float, float] | None = None
    """The estimates left and right of the relation, where both sides were measured."""
    parts: tuple[tuple[str, float], ...] = ()
    """The means that the claim is made from, by name, where the sides don't show them."""
    percent: bool = False
    """Whether the numbers are shares, shown in percent."""
    notes: tuple[str, ...] = ()
    advice: str = ""
    """What to do where it is refuted, if that is not to look for what changed."""
    undecided: Literal["false", "true", "raise"] = "false"
    """What the truth value is where the claim is not shown. An assertion's comparison raises `ClaimFailed`, so that
    `assert not claim` does not take "not shown" for "refuted"; `on_undecided` can ask for true."""

    def __bool__(self) -> bool:
        if self.state == "not shown" and self.undecided == "raise":
            raise ClaimFailed("\n".join(self.explain()), self)
        return self.state == "holds" or (self.undecided == "true" and self.state == "not shown")

    def __repr__(self) -> str:
        from robustcheck.claims.wording import one_line

        return one_line(self)

    @property
    def margin(self) -> float:
        """By how much the estimate is on the claim's side of the threshold; negative where it is not."""
        gap = self.estimate - self.threshold
        return gap if self.relation in {">=", ">"} else -gap

    def explain(self) -> list[str]:
        """Return at most eight lines of at most 78 columns: verdict, both sides, n of N, what to do."""
        from robustcheck.claims.wording import lines

        return lines(self)
