"""What is collected beside a repository's own tests: suites that ship; and what collected tests will ask for.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from robustcheck.benchmark.hooks import FIXTURE as BENCHMARK
from robustcheck.errors import RobustcheckError
from robustcheck.session import marker
from robustcheck.session.session import Session
from robustcheck.session.toml_items import NAME as CLAIMS_FILE
from robustcheck.session.toml_items import ClaimItem
from robustcheck.session.view_discovery import views_named_by

if TYPE_CHECKING:
    from robustcheck.notation import View

_SUITES = Path(__file__).parents[1] / "suites"
_NAMES_VIEWS = {
    "robustness",
    "robustcheck_model",
    "robustcheck_images",
    "robustcheck_classifier",
    "fgs",
    "jpeg",
}
_OURS = _NAMES_VIEWS | {BENCHMARK}  # a benchmark's views are measured, not claimed


def uses_fixtures(item: pytest.Item) -> bool:
    """Return whether a test uses a fixture of ours."""
    return not _OURS.isdisjoint(getattr(item, "fixturenames", None) or ())


class SuiteModule(pytest.Module):
    """A test module that ships with robustcheck, under its own name instead of its path in some environment."""

    @classmethod
    def named(cls, name: str, session: pytest.Session) -> SuiteModule:
        """Return the collector of a suite."""
        stem = name.replace("-", "_")
        pytest.register_assert_rewrite(f"robustcheck.suites.{stem}")
        module: SuiteModule = cls.from_parent(
            session, path=_SUITES / f"{stem}.py", nodeid=f"robustcheck/{name}"
        )
        return module


class SuiteCollection:
    """A plugin of pytest, registered for each run, that adds suites and plans the views of tests."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the suite that is asked for: by name, or by a model named in a run without a test that uses it."""
        settings = self._session.settings
        wanted = settings.suite
        is_study = wanted is None and "model" in settings.typed and not settings.forecast
        if is_study and not any(map(uses_fixtures, items)):
            wanted = "jpeg-study"
        if wanted == "sanity":
            self._session.claimed += _named_by(items) or _declared_in(session.config.rootpath / CLAIMS_FILE)
        if wanted is not None:
            items.extend(session.genitems(SuiteModule.named(wanted, session)))
        if settings.require_tested_attacks and wanted != "sanity" and not settings.forecast:
            self._session.claimed += _named_by(items)
            if self._session.claimed:
                items.extend(session.genitems(SuiteModule.named("sanity", session)))
        for item in items:
            if uses_fixtures(item):
                item.add_marker(marker.NAME)
        marker.check(items)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give a test the images that its marker names."""
        marker.parametrise_images(metafunc)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Plan the views that the tests to be run name, so that they are evaluated together."""
        if not session.config.option.collectonly:
            for item in session.items:
                self._session.planned.update(dict.fromkeys(_views_of(item)))


def _named_by(items: Iterable[pytest.Item]) -> list[View]:
    return [view for item in items for view in _views_of(item)]


def _declared_in(path: Path) -> list[View]:
    """Return the views of the claims in a `robustcheck.toml`, none if there is no such file."""
    from robustcheck.claims import read_claims

    try:
        declared = read_claims(path).claims if path.is_file() else ()
    except RobustcheckError as error:
        raise pytest.UsageError(str(error)) from None
    return [view for each in declared for view in each.claim.views]


def _views_of(item: pytest.Item) -> Iterable[View]:
    if isinstance(item, ClaimItem):
        return item.declared.claim.views
    is_ours = not _NAMES_VIEWS.isdisjoint(getattr(item, "fixturenames", None) or ())
    return (*views_named_by(item), *marker.planned_views(item)) if is_ours else ()
