"""How claims are decided: the policy of a run, and a claim's own settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from robustcheck.claims.verdict import About
from robustcheck.errors import RobustcheckError

Undecided = Literal["fail", "warn", "pass"]

WORDS: Mapping[str, tuple[str, ...]] = {
    "about": ("testset", "population"),
    "on_undecided": ("fail", "warn", "pass"),
    "family": ("none", "holm"),
}
"""The allowed values of each setting that is a word."""
ABOVE_ZERO = ("alpha",)
"""The settings that are numbers above 0 and below 1; of the others 0 is allowed, too."""


@dataclass(frozen=True)
class DecisionPolicy:
    """How a run decides claims."""

    stop_early: bool = False
    """Draw images in a random order, only until a claim is decided."""
    alpha: float = 0.05
    """Maximum probability that a false claim passes, when stopping early."""
    budget: int | None = None
    """Maximum number of images evaluated for a claim, when stopping early."""
    min_images: int = 0
    """Minimum number of images evaluated for a claim, when stopping early; a certain answer apart."""
    require_adaptive: bool = False
    """A claim about a defended view must also hold against attacks that go through the defence."""
    passes_undecided: bool = False
    """A comparison that is not shown counts as true, so that its test goes on to its next claims."""
    is_pilot: bool = False
    """Decide nothing: note the claims and the measures of a few images, for a forecast."""


@dataclass(frozen=True)
class ClaimSettings:
    """How one claim is decided; `alpha` None leaves it to the run's policy."""

    alpha: float | None = None
    tolerance: float = 0.0
    about: About = "testset"
    on_undecided: Undecided = "fail"

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check_setting(name, value)


def check_setting(name: str, value: Any) -> None:
    """Raise `RobustcheckError` for a value that a setting of claims can't have."""
    if name in WORDS and value not in WORDS[name]:
        raise RobustcheckError(f"{name} must be one of {', '.join(WORDS[name])}, got {value!r}")
    if name in ABOVE_ZERO and value is not None and not 0 < value < 1:
        raise RobustcheckError(f"{name} must be a probability between 0 and 1, got {value}")
    if name == "tolerance" and not 0 <= value < 1:
        raise RobustcheckError(f"tolerance must be >= 0 and < 1, got {value}")
