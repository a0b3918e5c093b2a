"""The baselines of a run: the one that it is compared with, and the one that it saves.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from robustcheck.errors import RobustcheckError
from robustcheck.options.table import Settings

if TYPE_CHECKING:
    from robustcheck.records import Records
    from robustcheck.records.baseline import Baseline
    from robustcheck.report.run import FinishedRun

CHANCE = "clean_accuracy_is_far_above_chance"
"""The integrity test of the suites that holds for every run."""


class Baselines:
    """Read when they are first asked for."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self._settings = settings
        self._root = root

    @cached_property
    def compared(self) -> Baseline | None:
        """The baseline that `--robustcheck-compare` names."""
        from robustcheck.records.baseline import Baseline

        name = self._settings.compare
        return None if name is None else Baseline.read(name, self._root)

    def check(self) -> None:
        """Raise `RobustcheckError` if a baseline can't be saved under its name, or can't be read."""
        if self._settings.save is not None:
            from robustcheck.records.baseline import path_of

            path_of(self._settings.save, self._root)
        if self._settings.compare is not None:
            self.compared  # noqa: B018 - reading it is the check

    def save(self, name: str, run: FinishedRun) -> Path:
        """Write a baseline and return its file; raises `RobustcheckError` or OSError if that can't be done."""
        from robustcheck.records.baseline import save_baseline

        records, failed = _saved_records(run)
        return save_baseline(name, self._root, records, failed=failed)


def _saved_records(run: FinishedRun) -> tuple[Records, Sequence[str]]:
    """Return the records that a baseline holds, and the integrity tests that failed."""
    from robustcheck.claims.record_warnings import chance_warning

    if len(run.studies) != 1:
        raise RobustcheckError(f"a baseline is of one model on one image set, not of {len(run.studies)}")
    (study,) = run.studies
    records = study.records
    for view in records.views:
        if not records.seen(view).all():
            raise RobustcheckError(
                f"{view} was evaluated on {int(records.seen(view).sum())} of {len(records)} images; a baseline is of "
                "whole image sets, from a run that ends and does not stop early"
            )
    guesses = chance_warning(records, study.classes) is not None and CHANCE not in run.failed_integrity
    return records, [*run.failed_integrity, *[CHANCE] * guesses]
