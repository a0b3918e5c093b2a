"""What a run is likely to need: images, time, and which claim takes most of it; nothing was judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Source = Literal["pilot", "baseline", "assisted", "all images"]


@dataclass(frozen=True)
class ClaimForecast:
    """How many images a claim likely needs, and the seconds that this takes where it is the only one."""

    text: str
    name: str
    """Its name in `robustcheck.toml`, or its test."""
    test: str
    model: str
    views: tuple[str, ...]
    population: int
    budget: int
    """The most images that it may take: the budget, or all."""
    images: int
    """The median over the simulations; all images where the run does not stop early."""
    images_high: int
    """At most so many in 90 % of the simulations."""
    undecided: float
    """The share of simulations that took all of them without an earlier decision."""
    seconds: float
    seconds_high: float
    source: Source
    """Whose values were simulated: the pilot's, or the baseline's, which may assist; or none."""
    source_images: int
    """How many images these are."""
    changed: int | None = None
    """How many images of the pilot changed since the baseline, where it assists."""
    changed_of: int = 0


@dataclass(frozen=True)
class RunForecast:
    """All claims of a run in advance."""

    claims: tuple[ClaimForecast, ...] = ()
    stop_early: bool = False
    simulations: int = 0
    """Of each claim."""
    pilot: int = 0
    """The number of images evaluated."""
    timed: int = 0
    """On how many of them views were timed."""
    device: str = ""
    seconds: float = 0.0
    """Of all claims together, which share what was evaluated."""
    seconds_high: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def expensive(self) -> ClaimForecast | None:
        """The claim that takes longest; None where there are not two."""
        return max(self.claims, key=lambda claim: claim.seconds) if len(self.claims) > 1 else None


CLOSING = "FORECAST ONLY: no claim was judged. To judge, leave out --robustcheck-forecast."


def lines_of(run: RunForecast) -> Iterator[str]:
    """Yield the forecast line by line; what belongs to the line above is indented."""
    several = len({claim.model for claim in run.claims}) > 1
    for claim in run.claims:
        yield f"{claim.name}: {claim.text}{f' ({claim.model})' if several else ''}"
        yield f"  {_images(claim)}; {_times(claim.seconds, claim.seconds_high)}"
        if claim.source != "all images":
            yield f"  {_source(claim)}"
    if (most := run.expensive) is not None:
        yield f"the expensive one: {most.name}: {most.text}"
    if run.claims:
        yield f"all together {_times(run.seconds, run.seconds_high)} on this machine ({run.device})"
        simulated = f"{run.simulations} simulations a claim; " if run.stop_early else ""
        yield f"an estimate: {simulated}times from {run.timed} images of a pilot of {run.pilot}"
    yield from (f"note: {note}" for note in run.notes)


def _images(claim: ClaimForecast) -> str:
    whole, most = f"{claim.population:,}", f"{claim.budget:,}"
    if claim.source == "all images":
        return f"all {whole} images"
    if claim.undecided >= 0.5:
        before = f"all {most}" if claim.budget == claim.population else f"the budget of {most}"
        return f"unlikely to be decided before {before} ({100 * claim.undecided:.0f} % of simulations)"
    return f"about {claim.images:,} images, {claim.images_high:,} at 90 %, of {whole}"


def _source(claim: ClaimForecast) -> str:
    if claim.source == "assisted":
        return f"from the baseline, which assists; {claim.changed} of {claim.changed_of} images of the pilot changed"
    of = "the baseline" if claim.source == "baseline" else "the pilot"
    return f"from {claim.source_images:,} images of {of}"


def _times(median: float, high: float) -> str:
    likely, at_most = duration(median), duration(high)
    return f"about {likely}" if likely == at_most else f"about {likely}, {at_most} at 90 %"


def duration(seconds: float) -> str:
    """Return a time in the unit that a person would use.

    >>> duration(0.2), duration(47.3), duration(700), duration(20_000)
    ('1 s', '47 s', '12 min', '5.6 h')
    """
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
