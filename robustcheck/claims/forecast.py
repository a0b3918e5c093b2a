"""How many images a claim likely needs: the shipped test, simulated on values that were measured before.

Without a baseline the values are those of a pilot of n images. Each simulation draws the weights of these n rows anew
(the Bayesian bootstrap: Rubin 1981), so that the spread of the forecast includes what a pilot does not know: its
share of right images is within some 11 points of the set's (95 %). Two further rows of half a weight, the least and the greatest
value, stand for what the pilot did not meet (Jeffreys' prior of a share).

With a baseline each simulation takes the baseline's values in another random order. Where the baseline assists, images
swap their new values at random, as many as make the change of the pilot's images since the baseline: their mean stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from robustcheck.claims.expression import Term
from robustcheck.claims.verdict import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIMULATIONS = 100
HIGH = 0.9
"""The quantile that is reported beside the median."""
_PRIOR = 0.5
"""The weight of the least and the greatest value beside the rows of a pilot, of weight 1 each."""
_LOOKS = 16
"""A simulation looks at the end of each batch, later after each further 1/16 of the images."""

Draw = Callable[[int, int], "NDArray[np.float64]"]
"""Returns the rows from one position of an order up to another."""


class SequentialTest(Protocol):
    """A test of a claim between two draws: `ClaimTest`, `RegressionTest`."""

    @property
    def seen(self) -> int:
        """The number of images taken."""

    @property
    def done(self) -> bool:
        """Whether it takes no more images."""

    @property
    def decided(self) -> bool:
        """Whether the images taken decide it."""

    def update(self, draw: NDArray[np.float64]) -> object:
        """Take the measures of more images."""


@dataclass(frozen=True, eq=False)
class Question:
    """A claim, or a comparison with the baseline, as a pilot met it."""

    verdict: Verdict
    """What the test got for an answer: nothing is decided."""
    text: str
    terms: tuple[Term, ...]
    table: NDArray[np.float64]
    """(n, columns), the pilot's: a column per term; of a comparison with the baseline new and old values."""
    extremes: NDArray[np.float64]
    """(2, columns): rows with the least, and with the greatest, value of what is claimed."""
    start: Callable[[NDArray[np.float64] | None], SequentialTest]
    """Return a new test of the whole set, with the help of old measures (N, terms) in the order of the draws, or none."""
    is_paired: bool = False
    """It compares with the baseline: the columns are new and old values of one term."""


@dataclass(frozen=True, eq=False)
class OldMeasures:
    """A baseline's measures for a claim, in image-set order; NaN where an image has none."""

    whole: NDArray[np.float64]  # (N, terms)
    pilot: NDArray[np.float64]  # (n, terms)
    """Those of the pilot's images."""
    assists: bool
    """Whether they help to decide, or only say what to expect."""


@dataclass(frozen=True)
class ImageForecast:
    """How many images a decision takes, over simulations."""

    median: int
    high: int
    """At most so many in 90 % of the simulations."""
    undecided: float
    """The share of simulations that used all images, or the budget, before a decision."""


def forecast(
    question: Question,
    population: int,
    *,
    batch: int,
    old: OldMeasures | None = None,
    seed: int = 0,
    simulations: int = SIMULATIONS,
) -> ImageForecast:
    """Return how many images of a set of `population` a claim likely needs, a decision falling at the end of a batch."""
    rng = np.random.default_rng(seed)
    runs = [_simulated(question, population, batch, old, rng) for _ in range(simulations)]
    images = np.array([seen for seen, _ in runs])
    return ImageForecast(
        median=int(np.quantile(images, 0.5, method="higher")),
        high=int(np.quantile(images, HIGH, method="higher")),
        undecided=float(np.mean([not decided for _, decided in runs])),
    )


def churn(question: Question, old: OldMeasures) -> tuple[int, int]:
    """Return how many images of the pilot changed since the baseline, and of how many that it has."""
    difference = _difference(question, old)
    return int((np.abs(difference).max(axis=1) > 1e-6).sum()), len(difference)


def _simulated(
    question: Question, population: int, batch: int, old: OldMeasures | None, rng: np.random.Generator
) -> tuple[int, bool]:
    """Return how many images one simulated run took, and whether they decided the claim."""
    if old is None or (question.is_paired and not old.assists):
        test, draw = question.start(None), _of_pilot(question, rng)
    elif old.assists:
        before, draw = _of_assisted(question, old, rng)
        test = question.start(before)
    else:
        test, draw = question.start(None), _of_baseline(old, population, rng)
    for start, stop in _looks(population, batch):
        test.update(draw(start, stop))
        if test.done:
            break
    return test.seen, test.decided and test.seen < population


def _looks(population: int, batch: int) -> Iterator[tuple[int, int]]:
    """Yield from where to where images are taken before each look."""
    start = 0
    while start < population:
        stop = min(start + batch * max(1, start // (_LOOKS * batch)), population)
        yield start, stop
        start = stop


def _of_pilot(question: Question, rng: np.random.Generator) -> Draw:
    """Draw from the pilot's rows, and the two beside them, at weights that are drawn first."""
    rows = np.concatenate([question.table, question.extremes])
    weights = rng.dirichlet([1.0] * len(question.table) + [_PRIOR] * len(question.extremes))
    edges = np.cumsum(weights)[:-1]
    return lambda start, stop: rows[np.searchsorted(edges, rng.random(stop - start), side="right")]


def _of_baseline(old: OldMeasures, population: int, rng: np.random.Generator) -> Draw:
    """Draw the baseline's rows in a random order; where some are missing, from the others."""
    known = old.whole[~np.isnan(old.whole).any(axis=1)]
    rows = (
        rng.permutation(known)
        if len(known) == population
        else known[rng.integers(len(known), size=population)]
    )
    return lambda start, stop: rows[start:stop]


def _of_assisted(
    question: Question, old: OldMeasures, rng: np.random.Generator
) -> tuple[NDArray[np.float64], Draw]:
    """Return the old measures in a random order, and what draws the new ones."""
    before = rng.permutation(old.whole)
    known = ~np.isnan(before).any(axis=1)
    now = before.copy()
    now[~known] = before[known][rng.integers(known.sum(), size=(~known).sum())]
    share, count = _share_that_swaps(question, old)
    swaps = rng.random(len(now)) < rng.beta(share * count + 0.5, (1 - share) * count + 0.5)
    now[swaps] = rng.permutation(now[swaps])
    if not question.is_paired:
        return before, lambda start, stop: now[start:stop]
    pairs = np.concatenate([now, before], axis=1)
    return before, lambda start, stop: pairs[start:stop]


def _share_that_swaps(question: Question, old: OldMeasures) -> tuple[float, int]:
    """Return which share of images must swap values at random to change as much as the pilot's did, of how many."""
    difference = _difference(question, old)
    known = old.whole[~np.isnan(old.whole).any(axis=1)]
    apart = float(np.abs(known - np.roll(np.random.default_rng(0).permutation(known), 1, axis=0)).mean())
    changed = float(np.abs(difference).mean()) if len(difference) else 0.0
    return min(1.0, changed / apart if apart else float(changed > 0)), len(difference)


def _difference(question: Question, old: OldMeasures) -> NDArray[np.float64]:
    """Return new less old measures of the pilot's images that the baseline has: (k, terms)."""
    new = question.table[:, : len(question.terms)]
    difference: NDArray[np.float64] = new - old.pilot
    return difference[~np.isnan(difference).any(axis=1)]
