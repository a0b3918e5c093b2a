"""What the mutation suite comes to: the score, the survivors, and what could not be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from robustcheck.report.run import FinishedRun, MutantOutcome, MutantResult, required
from robustcheck.text import listed, percent

LEAST = 10
"""Below so many mutations that are caught or survive, their share says too little to gate."""
AN_ERROR = "an error in a test"
"""What turns the gate red where no claim is refuted."""
_MOST_NAMES = 6


@dataclass(frozen=True)
class Survivor:
    """A fault under which every claim holds."""

    name: str
    what: str
    claims: tuple[str, ...]
    advice: str


@dataclass(frozen=True)
class LeftOut:
    """A fault that counts neither way."""

    name: str
    what: str
    reason: str


@dataclass(frozen=True)
class MutationSummary:
    """The mutations of a run, by what became of its claims."""

    applied: int
    """Those that are caught or survive."""
    caught: int
    score: float | None
    """caught / applied; None where none was applied."""
    required: float | None
    """The score that the run was asked for."""
    images: int
    survivors: tuple[Survivor, ...]
    unresolved: tuple[LeftOut, ...]
    skipped: tuple[LeftOut, ...]
    equivalent: tuple[LeftOut, ...]
    not_rerunnable: tuple[LeftOut, ...]
    caught_by: dict[str, tuple[str, ...]]
    """By claim, the faults that turn it red."""
    failed_before: tuple[str, ...]
    """The claims that fail, or can't be decided, before any mutation."""

    @property
    def problem(self) -> str:
        """Why the run fails by its mutations; "" where it does not."""
        if not self.applied and not self.unresolved:
            return (
                "no fault could be examined: no test of this run makes a claim that holds; write one, and where -k "
                "chooses mutations, name tests in it, too, as in -k 'test_clean or labels_shifted'"
            )
        if self.required is None or self.score is None or self.applied < LEAST or self.score >= self.required:
            return ""
        return f"{percent(self.score)} of {self.applied} faults turn this gate red, required >= {percent(self.required)}"


def mutation_summary(run: FinishedRun) -> MutationSummary | None:
    """Return what the mutations of a run come to; None where it has none."""
    if not run.mutants:
        return None

    def left_out(outcome: MutantOutcome) -> tuple[LeftOut, ...]:
        return tuple(LeftOut(each.name, each.what, each.reason) for each in _of(run, outcome))

    caught, survived = _of(run, "caught"), _of(run, "survived")
    applied = len(caught) + len(survived)
    by_claim: dict[str, tuple[str, ...]] = {}
    for mutant in caught:
        for claim in mutant.claims or (AN_ERROR,):
            by_claim[claim] = (*by_claim.get(claim, ()), mutant.name)
    return MutationSummary(
        applied=applied,
        caught=len(caught),
        score=len(caught) / applied if applied else None,
        required=run.mutation_score,
        images=max(each.images for each in run.mutants),
        survivors=tuple(Survivor(each.name, each.what, each.claims, each.advice) for each in survived),
        unresolved=left_out("not resolvable"),
        skipped=left_out("skipped"),
        equivalent=left_out("equivalent"),
        not_rerunnable=left_out("not rerunnable"),
        caught_by=by_claim,
        failed_before=tuple(
            f"{claim.text} ({claim.state})" for claim in required(run.claims) if claim.state != "holds"
        ),
    )


def _of(run: FinishedRun, outcome: MutantOutcome) -> list[MutantResult]:
    return [each for each in run.mutants if each.outcome == outcome]


def lines_of(summary: MutationSummary) -> Iterator[str]:
    """Yield the summary in lines: what fails without any fault, the score, the survivors, what is left out."""
    if summary.failed_before:
        failing = listed(summary.failed_before, _MOST_NAMES, "; ")
        yield f"before any mutation these claims do not hold, so they notice nothing: {failing}"
    if summary.score is None:
        yield "no fault was caught, and none survived"
    else:
        yield (
            f"{summary.caught} of {summary.applied} faults turn this gate red ({percent(summary.score)}, on "
            f"{summary.images} images)"
        )
    yield from _gate(summary)
    for survivor in summary.survivors:
        yield f"SURVIVED {survivor.name}: {survivor.what}. A gate that notices: {survivor.advice}"
    for claim, names in summary.caught_by.items():
        yield f"{claim} notices {len(names)}: {listed(names, _MOST_NAMES)}"
    for words, group in (
        ("not resolvable", summary.unresolved),
        ("equivalent, since no record changes", summary.equivalent),
        ("not rerunnable", summary.not_rerunnable),
    ):
        if group:
            reason = f" ({group[0].reason})" if words == "not resolvable" else ""
            yield f"{words}{reason}: {len(group)}: {', '.join(each.name for each in group)}"
    reasons = dict.fromkeys(each.reason for each in summary.skipped)
    for reason in reasons:
        skipped = [each.name for each in summary.skipped if each.reason == reason]
        yield f"skipped, since {reason}: {', '.join(skipped)}"


def _gate(summary: MutationSummary) -> Iterator[str]:
    if summary.problem:
        yield f"FAILED: {summary.problem}"
    elif summary.required is not None and summary.applied < LEAST:
        yield (
            f"--robustcheck-mutation-score does not gate: {summary.applied} faults are caught or survive, and below "
            f"{LEAST} their share says too little"
        )
