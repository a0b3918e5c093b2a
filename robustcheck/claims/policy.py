"""How claims are decided: the policy of a run, and a claim's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from robustcheck.claims.verdict import About
from robustcheck.errors import RobustcheckError

Undecided = Literal["fail", "warn", "pass"]

WORDS: Mapping[str, tuple[str, ...]] = {
    "about": ("testset", "population"),
    "on_undecided": ("fail", "warn", "pass"),
    "family": ("none", "holm"),
}
"""The allowed values of each setting that is a word."""


@dataclass(frozen=True)
class DecisionPolicy:
    """How a run decides claims."""

    stop_early: bool = False
    """Draw images in a random order, only until a claim is decided."""
    alpha: float = 0.05
    """Maximum probability that a false claim passes, when stopping early."""
    budget: int | None = None
    """Maximum number of images evaluated for a claim, when stopping early."""
    require_adaptive: bool = False
    """A claim about a defended view must also hold against attacks that go through the defence."""


@dataclass(frozen=True)
class ClaimSettings:
    """How one claim is decided; `alpha` None leaves it to the run's policy."""

    alpha: float | None = None
    tolerance: float = 0.0
    about: About = "testset"
    on_undecided: Undecided = "fail"

    def __post_init__(self) -> None:
        for name in ("about", "on_undecided"):
            if getattr(self, name) not in WORDS[name]:
                raise RobustcheckError(
                    f"{name} must be one of {', '.join(WORDS[name])}, got {getattr(self, name)!r}"
                )
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise RobustcheckError(f"alpha must be a probability between 0 and 1, got {self.alpha}")
        if not 0 <= self.tolerance < 1:
            raise RobustcheckError(f"tolerance must be >= 0 and < 1, got {self.tolerance}")
