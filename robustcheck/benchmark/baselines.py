"""Which saved baselines of pytest-benchmark a run is compared with, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from robustcheck.benchmark.device_facts import Facts, describe, is_same_device
from robustcheck.benchmark.subject import differences
from robustcheck.text import listed

KEY = "robustcheck"
"""The key of our facts in the extra info of a measurement."""

SAVE_HERE = (
    "save a baseline on this one, or assert on robustcheck_benchmark.ratio(ours, theirs), which needs none"
)
SAVE_THIS = "save a baseline of what is measured now"
SAVE_ALL = "save a baseline that has it"
TIME_IT = "run without -n and --benchmark-disable"


@dataclass(frozen=True)
class NotCompared:
    """A test and a baseline that were not compared, or could not be."""

    baseline: str
    reason: str
    test: str
    gate: str = ""
    """What --benchmark-compare-fail can't hold against, and what to do about it; "" if it is not affected."""
    detail: str = ""


def drop_unlike(
    measured: Iterable[Any], baselines: dict[Any, dict[str, Any]], label: Callable[[str, str], str]
) -> Iterator[NotCompared]:
    """Remove from pytest-benchmark's baselines those that are not of the same device and subject, and yield them.

    `measured` are the results of pytest-benchmark, of which those without our facts are skipped; `baselines` are its
    saved ones, by path and by test; `label` gives a test's name from pytest-benchmark's short and full one.
    """
    for result in measured:
        own = result.extra_info.get(KEY)
        if not own or not result:
            continue
        test = label(result.name, result.fullname)
        for path, saved in baselines.items():
            old = saved.get(result.fullname)
            found = _absent(str(path), test) if old is None else _unlike(result, own, old, str(path), test)
            if found is not None:
                saved.pop(result.fullname, None)
                yield found


def _absent(path: str, test: str) -> NotCompared:
    gate = f"for a test that is not in the baseline: {SAVE_ALL}"
    return NotCompared(path, "not in the baseline", test, gate)


def _unlike(result: Any, own: Facts, old: dict[str, Any], path: str, test: str) -> NotCompared | None:
    known = old.get("extra_info", {}).get(KEY, {})
    here, there = own["device"], known.get("device", {})
    if not is_same_device(here, there):
        device = describe(there) if there else "an unknown device"
        reason = f"is of {device}, this run of {describe(here)}"
        detail = _times_reference(result, own, old, known)
        return NotCompared(path, reason, test, f"against another device: {SAVE_HERE}", detail)
    if unlike := "; ".join(differences(own.get("subject", {}), known.get("subject", {}))):
        return NotCompared(path, f"differs in {unlike}", test, f"against something else: {SAVE_THIS}")
    return None


def _times_reference(result: Any, own: Facts, old: dict[str, Any], known: Facts) -> str:
    """Return both medians as multiples of the reference kernel's time, if the devices are of one type."""
    if own["device"]["type"] != known.get("device", {}).get("type") or not known.get("reference_seconds"):
        return ""
    there = old["stats"]["median"] / known["reference_seconds"]
    here = result.stats.median / own["reference_seconds"]
    return f"{there:.3g} times the reference kernel's time there, {here:.3g} here"


def not_measured(
    baselines: dict[Any, dict[str, Any]],
    measured: Iterable[str],
    untimed: Iterable[str],
    label: Callable[[str, str], str],
    why_untimed: str,
) -> Iterator[NotCompared]:
    """Yield what baselines have of tests that this run did not time; all tests are named in full."""
    known, untimed = {*measured}, [*untimed]
    gate = f"where nothing is timed ({why_untimed}): {TIME_IT}"
    reason = f"not timed in this run ({why_untimed})"
    for path in baselines or ([""] if untimed else []):
        for test in untimed:
            yield NotCompared(str(path), reason, label(test.rpartition("::")[2], test), gate)
    for path, saved in baselines.items():
        for test, old in saved.items():
            if KEY in old.get("extra_info", {}) and test not in known and test not in untimed:
                yield NotCompared(str(path), "not measured in this run", label(old["name"], test))


def messages(lost: Iterable[NotCompared]) -> Iterator[str]:
    """Yield lines about what was not compared, by baseline and reason."""
    for baseline, of_baseline in _by(lost, lambda each: each.baseline):
        yield f"not compared: the baseline {baseline}" if baseline else "not compared"
        for reason, alike in _by(of_baseline, lambda each: each.reason):
            plain = [each.test for each in alike if not each.detail]
            yield f"    {reason}: {listed(plain)}" if plain else f"    {reason}"
            yield from (f"    {each.test}: {each.detail}" for each in alike if each.detail)


def gate_errors(lost: Iterable[NotCompared]) -> Iterator[str]:
    """Yield why --benchmark-compare-fail could not be evaluated, a line for each reason."""
    for gate, _ in _by((each for each in lost if each.gate), lambda each: each.gate):
        yield f"ERROR: --benchmark-compare-fail can't hold {gate}"


def _by(
    lost: Iterable[NotCompared], key: Callable[[NotCompared], str]
) -> Iterator[tuple[str, list[NotCompared]]]:
    """Yield groups in the order in which their first was found."""
    groups: dict[str, list[NotCompared]] = {}
    for each in lost:
        groups.setdefault(key(each), []).append(each)
    yield from groups.items()
