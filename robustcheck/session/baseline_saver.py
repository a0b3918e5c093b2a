"""`--robustcheck-save`: which runs make a baseline, and what is written of the run that made it.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    from robustcheck.report.run import FinishedRun
    from robustcheck.report.study import Study
    from robustcheck.session.session import Session

_CHANCE = "clean_accuracy_is_far_above_chance"
"""The integrity test of the suites that holds for every run."""


class BaselineSaver:
    """A plugin of pytest, registered for each run that is to be saved."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._deselected = 0

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Count the tests that were collected and not run: the baseline notes that it is of a part."""
        self._deselected += len(items)

    def save(self, name: str, session: pytest.Session) -> str:
        """Write the baseline and return a line that says so; raises `RobustcheckError` or OSError where it may not be."""
        from robustcheck.records.baseline import save_baseline

        ours = self._session
        if ours.is_empty:
            raise RobustcheckError("nothing was evaluated")
        if reason := self._broken_off(session):
            raise RobustcheckError(f"{reason}: its records are not all there. Run it again, to its end")
        run = ours.finished()
        self._refuse_failed_comparison(name, run)
        study = _whole_study(run)
        claims = [claim for claim in run.claims if claim.role == "claim"]
        failed = [claim.text for claim in claims if claim.outcome in {"refuted", "not shown"}]
        header = {
            "integrity tests failed": [*run.failed_integrity, *_guesses(run)],
            "saved": {**self._about(run), **({"claims failed": "; ".join(failed)} if failed else {})},
            **({"saved anyway": ours.settings.save_anyway} if ours.settings.save_anyway else {}),
        }
        path = save_baseline(name, ours.root, study.records, header)
        count = f"{len(failed)} {'claim that does' if len(failed) == 1 else 'claims that do'} not hold"
        return f"saved as {path.relative_to(ours.root)}" + (f", with {count}" if failed else "")

    def _broken_off(self, session: pytest.Session) -> str:
        """Return why the run lacks results, or ""."""
        if self._session.lost_workers:
            return f"{self._session.lost_workers} of the run's workers died"
        if self._session.is_interrupted:
            return "the run was interrupted"
        if session.shouldfail or session.shouldstop:
            return f"the run broke off ({session.shouldfail or session.shouldstop})"
        return ""

    def _refuse_failed_comparison(self, name: str, run: FinishedRun) -> None:
        from robustcheck.records.baseline import path_of

        if run.baseline is None or run.baseline.path.resolve() != path_of(name, self._session.root).resolve():
            return
        claims = [claim for claim in run.claims if claim.role == "claim" and claim.against_baseline]
        failed = [claim.text for claim in claims if claim.state != "holds"]
        failed += [f"{trouble.test} could not compare" for trouble in run.troubles]
        if failed:
            raise RobustcheckError(
                f"this run was compared with it, and {failed[0]} failed: the worse numbers would pass from now on. "
                f"Mend the model, or accept them by a run that saves without --robustcheck-compare={name}"
            )

    def _about(self, run: FinishedRun) -> dict[str, str]:
        commit = _commit(self._session.root)
        tests = (
            f"a part: {self._deselected} tests were deselected"
            if self._deselected
            else "all that were collected"
        )
        facts = {
            "date": run.session.get("date", ""),
            "commit": commit,
            "command": run.session.get("command line", ""),
        }
        return {**{key: text for key, text in facts.items() if text}, "tests": tests}


def _whole_study(run: FinishedRun) -> Study:
    """Return the run's only study; raises `RobustcheckError` where there are more, or some images were not evaluated."""
    if len(run.studies) != 1:
        raise RobustcheckError(f"a baseline is of one model on one image set, not of {len(run.studies)}")
    records = run.studies[0].records
    for view in records.views:
        if not records.seen(view).all():
            raise RobustcheckError(
                f"{view} was evaluated on {int(records.seen(view).sum())} of {len(records)} images; a baseline is of "
                "whole image sets, from a run that ends and does not stop early"
            )
    return run.studies[0]


def _guesses(run: FinishedRun) -> list[str]:
    from robustcheck.claims.record_warnings import chance_warning

    (study,) = run.studies
    guesses = _CHANCE not in run.failed_integrity and chance_warning(study.records, study.classes) is not None
    return [_CHANCE] * guesses


def _commit(root: Path) -> str:
    """Return the commit that is checked out, with -dirty behind it where files differ; "" where git can't tell."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - git, by no shell
    return done.stdout.strip() if done.returncode == 0 else ""
