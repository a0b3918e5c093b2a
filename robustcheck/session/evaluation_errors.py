"""Errors that keep a test's claims from being evaluated: such a test fails, whatever its marks and plugins say.

A gate can fail: a run that was asked for a claim and could not evaluate it is red. The first test that meets an error
reports it in full; the others say in a line which one that is.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from robustcheck.errors import RobustcheckError
from robustcheck.session.collection import uses_fixtures
from robustcheck.text import first_line, printable_lines

if TYPE_CHECKING:
    from robustcheck.session.session import Session

_PROPERTY = "robustcheck_not_evaluated"
"""An attribute of a report, which it keeps on its way from another process: what tells the error from others."""

_SCOPE_MISMATCH = re.compile(
    r"ScopeMismatch: You tried to access the (?P<scope>\w+) scoped fixture (?P<fixture>\w+) "
)
_OVERRIDDEN = {"robustcheck_model", "robustcheck_images", "robustcheck_classifier"}


class FixtureError(pytest.fail.Exception):  # type: ignore[misc,name-defined] # an attribute of a function
    """A fixture has no value, by a mistake of the user's; the message is all there is to say."""

    __module__ = "builtins"  # as pytest has it for its own, so that the name alone is shown


@contextmanager
def user_errors() -> Generator[None]:
    """Turn a user's mistake into its message alone."""
    try:
        yield
    except RobustcheckError as error:
        raise FixtureError(f"robustcheck: {error}", pytrace=False) from None


class EvaluationErrors:
    """A plugin of pytest, registered for each run, that fails the tests whose claims could not be evaluated."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._first: dict[str, str] = {}
        """By error, the test that reports it in full."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail a test that could not be evaluated though it is marked as expected to fail; note its error."""
        if call.excinfo is not None and (text := _scope_advice(call.excinfo.value)):
            own = FixtureError(printable_lines(text), pytrace=False).with_traceback(call.excinfo.tb)
            call.excinfo = pytest.ExceptionInfo.from_exception(own)
        report = yield
        error = None if call.excinfo is None else call.excinfo.value
        if error is not None and self._is_unevaluated(item, report, error):
            report.outcome = "failed"
            if hasattr(report, "wasxfail"):
                del report.wasxfail
            setattr(report, _PROPERTY, _identity(report, error))
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Report an error in full once; reports come from this process, from workers and from forked processes."""
        text = getattr(report, _PROPERTY, None)
        if text is None:
            return
        first = self._first.setdefault(text, report.nodeid)
        if first != report.nodeid:
            report.longrepr = f"not evaluated, see {first}: {first_line(text, 80)}"

    def _is_unevaluated(self, item: pytest.Item, report: pytest.TestReport, error: BaseException) -> bool:
        is_expected = hasattr(report, "wasxfail")
        if not (report.failed or is_expected) or isinstance(error, pytest.xfail.Exception):
            return False
        mark = item.get_closest_marker("xfail")
        if is_expected and mark is not None and mark.kwargs.get("raises") is not None:
            return False  # the very error is expected
        if isinstance(error, FixtureError):
            return True
        if report.when == "setup" or isinstance(error, RobustcheckError):
            return uses_fixtures(item)
        return any(each is self._session.evaluations.error for each in _chain(error))


def _scope_advice(error: BaseException) -> str:
    """Return what to do where a fixture that a repository overrides has too narrow a scope; "" for other errors."""
    found = _SCOPE_MISMATCH.match(str(error)) if isinstance(error, pytest.fail.Exception) else None
    if found is None or found["fixture"] not in _OVERRIDDEN:
        return ""
    return (
        f"robustcheck: the fixture {found['fixture']} must have scope session, package or module, since one evaluation serves "
        f"many tests, got {found['scope']} scope: declare it, and the fixtures that it uses, as\n"
        '    @pytest.fixture(scope="session")\n'
        f"    def {found['fixture']}():\n"
        "        ...  # as before; tmp_path_factory for tmp_path"
    )


def _identity(report: pytest.TestReport, error: BaseException) -> str:
    """Return a text that is the same for the same error: a user's mistake by its message, others by their place too."""
    if isinstance(error, FixtureError | RobustcheckError):
        return str(error).removeprefix("robustcheck: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = f"{type(error).__name__}: {error}"
    return text if crash is None else f"{text}\n{crash.path}:{crash.lineno}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
