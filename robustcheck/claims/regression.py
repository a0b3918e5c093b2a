"""One measure on the same images in two runs: what changed, and whether it got worse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from robustcheck.claims.assisted_bets import OldValues
from robustcheck.claims.intervals import Interval, sign_test, t_interval
from robustcheck.claims.sequential import MeanTest
from robustcheck.claims.test_spec import TestSpec
from robustcheck.claims.verdict import Verdict
from robustcheck.errors import RobustcheckError
from robustcheck.text import fixed, interval, percent

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from robustcheck.notation import View
    from robustcheck.records import Records
    from robustcheck.records.baseline import Baseline


@dataclass(frozen=True)
class Change:
    """How a measure of n images went from an old run to a new one, image by image."""

    n: int
    new: float
    old: float
    interval: Interval
    """The approximate 95 % interval of the change, over images like these."""
    p: float
    """Exact McNemar, two-sided: the probability of as uneven a split, were both directions equally likely."""
    lost: tuple[int, ...]
    """The rows where the new run is worse."""
    won: tuple[int, ...]
    """The rows where the new run is better."""
    is_binary: bool = True
    """Whether all values are 0 or 1; else the test is the sign test of the images that differ."""

    @property
    def change(self) -> float:
        """New less old."""
        return self.new - self.old

    def __repr__(self) -> str:
        bounds, counts = (self.interval.low, self.interval.high), (len(self.lost), len(self.won), self.n)
        return change_text(self.old, self.new, bounds, counts, self.p, is_binary=self.is_binary)


def change_text(
    old: float,
    new: float,
    bounds: tuple[float, float],
    counts: tuple[int, int, int],
    p: float,
    *,
    is_binary: bool = True,
) -> str:
    """Return a change in a line; `bounds` are those of the change, `counts` the images lost, won, and all."""
    lost, won, n = counts
    test = "McNemar" if is_binary else "sign test"
    return (
        f"{percent(old)} -> {percent(new)}: {fixed(100 * (new - old), 1, '+')} points (about {interval(*bounds, signed=True)}), "
        f"{lost} lost, {won} won of {n}, {test} p = {p:.2g}"
    )


def change(new: ArrayLike, old: ArrayLike) -> Change:
    """Return what changed between two runs; new, old: (n,) in [0, 1], the same images in the same order.

    >>> change([1, 0, 0, 1], [1, 1, 1, 1])
    100.0 % -> 50.0 %: -50.0 points (about -100.0 .. +52.4), 2 lost, 0 won of 4, McNemar p = 0.5
    """
    after, before = _pair(new, old)
    if not len(after):
        raise RobustcheckError("there are no images to compare")
    difference = after - before  # (n,)
    lost, won = (tuple(np.flatnonzero(changed).tolist()) for changed in (difference < 0, difference > 0))
    more, less = max(len(lost), len(won)), min(len(lost), len(won))
    return Change(
        n=len(after),
        new=float(after.mean()),
        old=float(before.mean()),
        interval=t_interval(difference, -1.0, 1.0),
        p=min(1.0, 2 * sign_test(more, less)),
        lost=lost,
        won=won,
        is_binary=bool(np.isin([*after, *before], (0, 1)).all()),
    )


def changes_since(baseline: Baseline, records: Records) -> Iterator[tuple[View, Change]]:
    """Yield, for each view that both have, what changed since the baseline on the images that both have evaluated.

    Raises `RobustcheckError` where the two can't be compared.
    """
    for view, rows, new, old in baseline.pairs(records):
        found = change(new, old)
        lost, won = (tuple(rows[list(at)].tolist()) for at in (found.lost, found.won))
        yield view, replace(found, lost=lost, won=won)


def no_regression(new: ArrayLike, old: ArrayLike, *, tolerance: float = 0.01, name: str = "") -> Verdict:
    """Return whether the measure fell by at most `tolerance`, exactly, of the images given.

    new, old: (n,) in [0, 1], the same images in the same order. `name` is what was measured, for the message.
    """
    pairs = np.column_stack(_pair(new, old))
    return no_regression_early([pairs], len(pairs), tolerance=tolerance, name=name)


def no_regression_early(
    draws: Iterable[ArrayLike],
    population: int,
    *,
    tolerance: float = 0.01,
    name: str = "",
    alpha: float = 0.05,
    budget: int | None = None,
    min_seen: int = 0,
    baseline: ArrayLike | None = None,
) -> Verdict:
    """Return whether the measure fell by at most `tolerance`, from as few images as decide it.

    draws: tables (k, 2), new and old, of the images in a random order fixed before; read lazily. Exact once all
    of the `population` were seen. baseline: (population,), all old values in the order of the draws, if that was fixed
    after them: they help to decide (see `robustcheck.claims.assisted_bets`).
    """
    if not population:
        raise RobustcheckError("there are no images to compare")
    test = RegressionTest(tolerance, population, baseline, alpha=alpha, budget=budget, min_seen=min_seen)
    for draw in draws:
        test.update(draw)
        if test.done:
            break
    verdict, known = test.mean.verdict(), test.known
    if not verdict.seen:
        raise RobustcheckError("there are no images to compare")
    now, then = (test.sums / verdict.seen).tolist()
    left, right = (name, f"{name} of the baseline") if name else ("new", "old")
    if known is not None:
        verdict = _less(verdict, known, -tolerance)
    return replace(
        verdict,
        claim=f"{left} - {right} >= {-tolerance:g}",
        parts=(("now", now), ("baseline", then)),
        percent=True,
    )


class RegressionTest:
    """The sequential test of how far a measure fell, between two draws.

    baseline: (population,), all old values in the order of the draws, where they help. `options` are those of a
    `TestSpec`. Raises `RobustcheckError` for a tolerance outside [0, 1).
    """

    def __init__(
        self, tolerance: float, population: int, baseline: ArrayLike | None = None, **options: Any
    ) -> None:
        if not 0 <= tolerance < 1:
            raise RobustcheckError(f"tolerance must be >= 0 and < 1, got {tolerance:g}")
        self.mean, self.known = _test(-tolerance, population, baseline, **options)
        self.sums: NDArray[np.float64] = np.zeros(2)
        """Of the new values, and of the old ones."""

    @property
    def seen(self) -> int:
        """The number of images taken."""
        return self.mean.seen

    @property
    def done(self) -> bool:
        """Whether it takes no more images."""
        return self.mean.done

    @property
    def decided(self) -> bool:
        """Whether the images taken decide it."""
        return self.mean.decided

    def update(self, draw: ArrayLike) -> None:
        """Take the new and the old values of more images: (k, 2)."""
        budget = self.mean.spec.budget
        table = np.asarray(draw, dtype=np.float64)[: None if budget is None else budget - self.seen]
        after, before = _pair(table[:, 0], table[:, 1])
        self.mean.update(after - before if self.known is None else after)
        self.sums += (after.sum(), before.sum())


def _test(
    least: float, population: int, baseline: ArrayLike | None, **options: Any
) -> tuple[MeanTest, float | None]:
    """Return the test of a change of at least `least`, and the baseline's mean, if that helps.

    Then it is the test that the new values have a mean of at least that mean plus `least`, which all can have who do
    not have to lie below 0.
    """
    if baseline is not None:
        old = np.clip(np.asarray(baseline, dtype=np.float64), 0.0, 1.0)
        known = float(old.mean())
        if 0 < known + least < 1:
            spec = TestSpec(known + least, 0.0, 1.0, population, **options)
            return MeanTest(spec, OldValues.of(spec, old)), known
    return MeanTest(TestSpec(least, -1.0, 1.0, population, **options)), None


def _less(verdict: Verdict, known: float, threshold: float) -> Verdict:
    """Return a verdict on a mean as one on what it is above a known one."""
    assistance = verdict.assistance
    if assistance is not None:
        assistance = replace(assistance, sample_mean=assistance.sample_mean - known)
    return replace(
        verdict,
        estimate=verdict.estimate - known,
        low=verdict.low - known,
        high=verdict.high - known,
        threshold=threshold,
        assistance=assistance,
    )


def _pair(new: ArrayLike, old: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    after, before = (np.asarray(column, dtype=np.float64) for column in (new, old))
    if after.shape != before.shape or after.ndim != 1:
        raise RobustcheckError(
            f"a paired comparison needs the same images in both runs, got shapes {after.shape} and {before.shape}"
        )
    if not all(((column >= 0) & (column <= 1)).all() for column in (after, before)):
        raise RobustcheckError("a measure must lie in [0, 1]; a compared column has a value outside, or NaN")
    return after, before
