"""Baselines of pytest-benchmark that were measured on another device: they are not compared second by second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from robustcheck.benchmark.device_facts import Facts, describe, is_same_device

KEY = "robustcheck"
"""The key of our facts in the extra info of a measurement."""


@dataclass(frozen=True)
class ForeignBaseline:
    """A baseline of another device, and the measurement that it belongs to."""

    test: str
    baseline: str
    here: Facts
    there: Facts
    times_reference_here: float | None = None
    times_reference_there: float | None = None
    """The median divided by the time of the reference kernel, if both devices are of one type."""


def drop_foreign_baselines(
    measured: Iterable[Any], baselines: dict[Any, dict[str, Any]]
) -> list[ForeignBaseline]:
    """Remove the baselines of other devices from those of pytest-benchmark, and return them.

    `measured` are the results of pytest-benchmark, of which those without our facts are skipped; `baselines` are its
    saved ones, by path and by test.
    """
    dropped = []
    for result in measured:
        own = result.extra_info.get(KEY)
        if not own or not result:
            continue
        for path, saved in baselines.items():
            old = saved.get(result.fullname)
            if old is None:
                continue
            known = old.get("extra_info", {}).get(KEY, {})
            if not is_same_device(own["device"], known.get("device", {})):
                del saved[result.fullname]
                dropped.append(_foreign(result, own, old, known, str(path)))
    return dropped


def _foreign(result: Any, own: Facts, old: dict[str, Any], known: Facts, path: str) -> ForeignBaseline:
    here, there = own["device"], known.get("device", {})
    times: tuple[float, float] | tuple[None, None] = (None, None)
    if here["type"] == there.get("type") and known.get("reference_seconds"):
        times = (
            result.stats.median / own["reference_seconds"],
            old["stats"]["median"] / known["reference_seconds"],
        )
    return ForeignBaseline(result.name, path, here, there, *times)


def messages(dropped: Iterable[ForeignBaseline]) -> Iterator[str]:
    """Yield lines about the baselines that were dropped."""
    reported = set()
    for each in dropped:
        pair = (each.baseline, describe(each.there))
        if pair not in reported:
            reported.add(pair)
            there = describe(each.there) if each.there else "an unknown device"
            yield f"not compared: the baseline {each.baseline}"
            yield f"    is of {there}, this run of {describe(each.here)}"
        if each.times_reference_here is not None and each.times_reference_there is not None:
            yield (
                f"    {each.test}: {each.times_reference_there:.3g} times the reference kernel's time there, "
                f"{each.times_reference_here:.3g} here"
            )
