"""What a failing test says: the claim, its numbers and the images that count against it, and none of our frames."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pytest

from robustcheck.errors import ClaimFailed, RobustcheckError
from robustcheck.session import Session

_PACKAGE = Path(__file__).parents[1]
_SUITES = _PACKAGE / "suites"


class Unusable(pytest.fail.Exception):  # type: ignore[misc,name-defined] # an attribute of a function
    """A fixture can't be had, by a mistake of the user's; the message is all there is to say."""


@contextmanager
def told_plainly() -> Generator[None]:
    """Turn a user's mistake into its message alone."""
    try:
        yield
    except RobustcheckError as error:
        raise Unusable(f"robustcheck: {error}", pytrace=False) from None


def tell_once(session: Session, item: pytest.Item, report: pytest.TestReport, error: Unusable) -> None:
    """Have a test be skipped, where another has failed by the same mistake."""
    if error.msg in session.told:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, "Skipped: robustcheck: the first error says why")
    session.told.add(error.msg)


def explain_comparison(session: Session, left: object, right: object) -> list[str] | None:
    """Return what to say of a comparison that did not hold; None where it is none of ours."""
    from robustcheck.claims import Estimate, Ratio

    entries = session.verdicts[session.current_test]
    if not entries or not isinstance(left, Estimate | Ratio) | isinstance(right, Estimate | Ratio):
        return None
    *_, verdict = entries[-1]
    session.explained.append(verdict)
    return verdict.explain()


def sections(session: Session, item: pytest.Item) -> list[tuple[str, str]]:
    """Return, for each claim of a test that did not hold, what else there is to see."""
    found = []
    for robustness, subject, verdict in session.verdicts.get(item, ()):
        if verdict.state != "holds":
            from robustcheck.report.evidence import evidence

            explained = any(verdict is other for other in session.explained)
            lines = [*([] if explained else verdict.explain()), *evidence(subject, robustness)]
            if session.settings.artifacts is not None:
                lines.append(session.leave_artifacts(item, robustness, subject, verdict))
            found.append(("robustcheck", "\n".join(lines)))
    return [section for section in found if section[1]]


def note_trouble(session: Session, item: pytest.Item, error: BaseException | None) -> None:
    """Have a test that failed without a claim that did not hold appear in the reports."""
    if all(verdict.state == "holds" for *_, verdict in session.verdicts.get(item, ())):
        from robustcheck.report.run import TestError

        reported = TestError(item.nodeid, str(error) or type(error).__name__)
        item.user_properties.append((TestError.PROPERTY, reported.to_json()))


def end_at_the_users_line(session: Session, info: pytest.ExceptionInfo[BaseException]) -> None:
    """Take our frames out of a traceback whose message is complete without them."""
    if not _says_all(info.value, info.tb):
        return
    session.explained.append(getattr(info.value, "verdict", None))
    entry: TracebackType | None = info.tb
    while entry is not None and entry.tb_next is not None:
        if _is_ours(entry.tb_next) and not _is_ours(entry):
            entry.tb_next = None
        entry = entry.tb_next


def _says_all(error: BaseException, entry: TracebackType | None) -> bool:
    """Whether we raised it ourselves, of a user's mistake."""
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    ours = entry is not None and _is_ours(entry)
    return isinstance(error, RobustcheckError | ClaimFailed) or (ours and isinstance(error, TypeError))


def _is_ours(entry: TracebackType) -> bool:
    path = Path(entry.tb_frame.f_code.co_filename)
    return path.is_relative_to(_PACKAGE) and not path.is_relative_to(_SUITES)
