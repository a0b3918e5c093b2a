"""Saved measurements of another device: they are not compared second by second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from robustcheck.benchmark.device import in_words, is_same

KEY = "robustcheck"
"""Under this key the extra info of a measurement of ours holds what is known of it."""


@dataclass(frozen=True)
class Refused:
    """A measurement whose baseline is of another device."""

    test: str
    baseline: str
    here: dict[str, Any]
    there: dict[str, Any]
    times_reference_here: float | None = None
    times_reference_there: float | None = None
    """The median over the time of the reference kernel, where both devices are of one type."""


def refuse_others(measured: Iterable[Any], baselines: dict[Any, dict[str, Any]]) -> list[Refused]:
    """Take what is of another device out of pytest-benchmark's baselines, and return what was taken out.

    `measured` are pytest-benchmark's results; those that are not ours are let be. `baselines` are its saved
    ones, by path and by test.
    """
    refused = []
    for result in measured:
        own = result.extra_info.get(KEY)
        if not own or not result:
            continue
        for path, saved in baselines.items():
            old = saved.get(result.fullname)
            if old is None:
                continue
            known = old.get("extra_info", {}).get(KEY, {})
            if not is_same(own["device"], known.get("device", {})):
                del saved[result.fullname]
                refused.append(_refused(result, own, old, known, str(path)))
    return refused


def _refused(
    result: Any, own: dict[str, Any], old: dict[str, Any], known: dict[str, Any], path: str
) -> Refused:
    here, there = own["device"], known.get("device", {})
    times: tuple[float, float] | tuple[None, None] = (None, None)
    if here["type"] == there.get("type") and known.get("reference_seconds"):
        times = (
            result.stats.median / own["reference_seconds"],
            old["stats"]["median"] / known["reference_seconds"],
        )
    return Refused(result.name, path, here, there, *times)


def told(refused: Iterable[Refused]) -> Iterator[str]:
    """Yield what to say of what was refused."""
    said = set()
    for each in refused:
        pair = (each.baseline, in_words(each.there))
        if pair not in said:
            said.add(pair)
            there = in_words(each.there) if each.there else "no device that it names"
            yield f"not compared: the baseline {each.baseline}"
            yield f"    is of {there}, this run of {in_words(each.here)}"
        if each.times_reference_here is not None and each.times_reference_there is not None:
            yield (
                f"    {each.test}: {each.times_reference_there:.3g} times the reference kernel's time there, "
                f"{each.times_reference_here:.3g} here"
            )
