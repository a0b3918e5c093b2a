"""Faults of what a run is compared with."""

from __future__ import annotations

from dataclasses import replace

from robustcheck.mutation.mutation import Mutation, Setup, Subject


def _of_a_weaker_model(setup: Setup) -> Setup:
    baseline = setup.baseline
    assert baseline is not None  # noqa: S101 - by `_needs_baseline`
    columns = {}
    for view, rows in baseline.records.columns.items():
        columns[view] = weaker = rows.copy()
        for name in ("correct", "kept", "p_top"):
            weaker[name][::3] = 0.0
    return replace(setup, baseline=replace(baseline, records=replace(baseline.records, columns=columns)))


def _needs_baseline(subject: Subject) -> str:
    return "" if subject.setup.baseline is not None else "there is no baseline (--robustcheck-compare)"


MUTATIONS = (
    Mutation(
        "baseline_of_a_weaker_model",
        "the baseline is another model's, which is wrong on a third of the images",
        "a bound that needs no baseline beside no_regression, and a look at the report's note on the baseline's model",
        _of_a_weaker_model,
        _needs_baseline,
        is_of_baseline=True,
    ),
)
