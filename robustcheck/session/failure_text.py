"""What pytest shows of a failure: an assertion's message, and the line of the short summary, whole at 80 columns.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustcheck.errors import ClaimFailed, RobustcheckError
from robustcheck.session.evaluation_errors import FixtureError
from robustcheck.text import printable

if TYPE_CHECKING:
    import pytest

    from robustcheck.claims import Verdict
    from robustcheck.session.asserted_claim import AssertedClaim, NotedVerdict

_EXPLANATION = re.compile(r"(\A|\n)assert .*", re.DOTALL)
"""What pytest says of an assertion, behind the assertion's own message."""


def explain_assertion(error: AssertionError, failed: Sequence[AssertedClaim]) -> None:
    """Have the message of an assertion explain the claims that failed in it, and none that hold."""
    if not failed or isinstance(error, ClaimFailed):
        return
    own = _EXPLANATION.sub("", str(error))
    explained = [line for claim in failed for line in explanation(claim, beside_mark=True)]
    error.args = ("\n".join([*([own] if own else []), *map(printable, explained)]),)
    for noted in (noted for claim in failed for noted in claim.failed):
        noted.is_explained = True


def explanation(claim: AssertedClaim, *, beside_mark: bool = False) -> list[str]:
    """Return what to show of a claim that failed: its numbers, and what to do."""
    from robustcheck.claims.verdict import BESIDE_MARK, WIDTH, explain_whole

    width = BESIDE_MARK if beside_mark else WIDTH
    verdicts = [noted.verdict for noted in claim.failed]
    return (
        explain_whole(claim.text, verdicts, width=width) if claim.text else verdicts[0].explain(width=width)
    )


def summarise(
    report: pytest.TestReport | pytest.CollectReport,
    error: BaseException | None,
    failed: Sequence[NotedVerdict],
) -> None:
    """Begin what the short summary says of a failure with the numbers, or with what is wrong; name no class."""
    crash: Any = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return
    if failed:
        crash.message = numbers(
            [noted.verdict for noted in failed]
        )  # pytest shows all lines of it where CI is set
    elif isinstance(error, FixtureError):
        crash.message = str(error).removeprefix("robustcheck: ")
    elif isinstance(error, RobustcheckError):
        crash.message = str(error)
    if error is not None and (failed or isinstance(error, RobustcheckError)):
        _leave_out_class(report.longrepr, type(error))


def numbers(verdicts: Sequence[Verdict]) -> str:
    """Return what was measured and what is required, of the first: 28.6 %, required >= 60.0 %."""
    first = verdicts[0]
    compared = first.compared.removeprefix("measured ")
    more = f" and {len(verdicts) - 1} more" if len(verdicts) > 1 else ""
    return f"{'not shown: ' if first.state == 'not shown' else ''}{compared}{more}"


def _leave_out_class(shown: Any, kind: type[BaseException]) -> None:
    """Take the class of an error of ours out of the lines in which pytest shows it."""
    module = re.escape("" if kind.__module__ == "builtins" else f"{kind.__module__}.")
    head = re.compile(rf"^(E\s+){module}{re.escape(kind.__qualname__)}: ", re.MULTILINE)
    for entry in shown.reprtraceback.reprentries:
        entry.lines[:] = [head.sub(r"\1", line) for line in entry.lines]
