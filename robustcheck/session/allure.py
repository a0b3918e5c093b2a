"""What allure-pytest shows of a test: its verdicts, the table, and the images that count most against a failed claim.

Imports inside functions keep the start of a run lazy; allure itself is imported where it writes a report.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.errors import RobustcheckError
from robustcheck.text import printable, printable_lines

if TYPE_CHECKING:
    from robustcheck.claims import Subject, Verdict
    from robustcheck.robustness import Robustness
    from robustcheck.session.session import Session

MOST_IMAGES = 3
"""Of each claim that did not hold."""


class AllureAttachments:
    """A plugin of pytest, registered for each run; it does nothing where no report of allure is written."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach what a test claimed, while allure's result of the test is open."""
        report = yield
        noted = self._session.verdicts.of(item) if call.when == "call" else ()
        entries = [(each.robustness, each.claimed, each.verdict) for each in noted]
        if entries and item.config.getoption("allure_report_dir", None):
            import allure  # type: ignore[import-not-found,unused-ignore] # not one of our dependencies

            for name, content, kind in (*_tables(entries), *_claims(entries)):
                allure.attach(content, name=name, attachment_type=getattr(allure.attachment_type, kind))
        return report


Entries = list[tuple["Robustness", "Subject", "Verdict"]]
Attachment = tuple[str, str | bytes, str]
"""A name, what is attached, and the name of its type in allure."""


def _tables(entries: Entries) -> Iterator[Attachment]:
    """Yield the table of each evaluation that the claims are about."""
    from robustcheck.report.formats.terminal import table
    from robustcheck.report.run import FinishedRun
    from robustcheck.report.study import Study
    from robustcheck.report.summary import summary_of

    evaluated = {id(robustness): robustness for robustness, *_ in entries}.values()
    studies = tuple(Study(each.records, each.classifier.class_count, ()) for each in evaluated)
    for study in summary_of(FinishedRun(studies), plots=False).studies:
        lines = [f"{study.model} on {study.images}", "", *table(study)]
        yield "robustcheck: table", "\n".join(map(printable, lines)), "TEXT"


def _claims(entries: Entries) -> Iterator[Attachment]:
    """Yield each verdict and, of a claim that does not hold, the images that count most against it."""
    for robustness, subject, verdict in entries:
        lines = [printable_lines(str(each)) for each in verdict.explain()]
        yield f"robustcheck: {printable(verdict.state)}", "\n".join(lines), "TEXT"
        if verdict.state != "holds":
            try:
                yield from _images(robustness, subject)
            except (RobustcheckError, OSError) as error:  # the images may be gone
                yield "robustcheck: no images", printable_lines(str(error)), "TEXT"


def _images(robustness: Robustness, subject: Subject) -> Iterator[Attachment]:
    from robustcheck.notation import View, X
    from robustcheck.report.evidence import rows_against
    from robustcheck.report.pictures import as_image

    claimed = (subject,) if isinstance(subject, View) else subject.views
    views = tuple(dict.fromkeys(part for view in (X, *claimed) for part in view.walk()))
    rows = rows_against(subject, robustness)[:MOST_IMAGES]
    for look in robustness.look(views, rows) if rows else ():
        for view in views:
            name = f"{robustness.images.names[look.row]}: {view}"
            yield printable(name), _png(as_image(look.images[view])), "PNG"


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
