"""The marker `robustness`: it selects the tests that evaluate a model, and gives one its own settings.

    @pytest.mark.robustness(views=["Adv_1", "JPG(Adv_1)"], images="data/hard", alpha=0.01)

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from os import PathLike
from typing import TYPE_CHECKING, Any

import pytest

from robustcheck.errors import RobustcheckError, unknown
from robustcheck.options.types import probability
from robustcheck.text import printable

if TYPE_CHECKING:
    from robustcheck.notation import View

NAME = "robustness"
LINE = (
    f"{NAME}(views=[...], images=..., alpha=...): a test that evaluates a model's robustness. It is put on every test "
    "that uses a fixture of robustcheck and on claims of robustcheck.toml. views: evaluated together with those of other "
    "tests; images: a spec or an ImageSet for this test; alpha: with --robustcheck-stop-early, for its claims."
)
_KEYS = ("views", "images", "alpha")


def setting(item: Any, key: str) -> Any:
    """Return what the closest marker that sets a key says; None where none does."""
    return next((mark.kwargs[key] for mark in item.iter_markers(NAME) if key in mark.kwargs), None)


def check(items: Iterable[pytest.Item]) -> None:
    """Raise `pytest.UsageError` for a marker with a key or a value that is not allowed."""
    for item in items:
        for mark in item.iter_markers(NAME):
            try:
                _check(mark)
                views_of(item)
            except (RobustcheckError, ValueError) as error:
                raise pytest.UsageError(
                    f"{printable(item.nodeid)}: @pytest.mark.robustness: {error}"
                ) from None


def _check(mark: pytest.Mark) -> None:
    if mark.args:
        raise RobustcheckError(f"takes its settings by name ({', '.join(_KEYS)}), got {mark.args[0]!r}")
    for key in mark.kwargs:
        if key not in _KEYS:
            raise unknown("setting", key, _KEYS)
    views = mark.kwargs.get("views", [])
    if not isinstance(views, list | tuple) or not all(isinstance(view, str) for view in views):
        raise RobustcheckError(f"views must be a list of texts such as 'JPG(Adv_1)', got {views!r}")
    alpha = mark.kwargs.get("alpha", 0.5)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float):
        raise RobustcheckError(f"alpha must be a number between 0 and 1, got {alpha!r}")
    try:
        probability(str(alpha))
    except ValueError as error:
        raise RobustcheckError(f"alpha {error}") from None
    if "images" in mark.kwargs and not _may_be_images(mark.kwargs["images"]):
        raise RobustcheckError(f"images must be a spec or an ImageSet, got {mark.kwargs['images']!r}")


def _may_be_images(value: object) -> bool:
    """Whether a value has a type that the fixture robustcheck_images may return."""
    if isinstance(value, str):
        return value != ""
    takes = isinstance(value, PathLike | Iterable) or hasattr(value, "__getitem__")
    return takes and not isinstance(value, bytes | Mapping | Set)


def views_of(item: pytest.Item) -> list[View]:
    """Return the views that a marker names, with the attacks on their way."""
    from robustcheck.notation import parse

    named = [parse(view) for view in setting(item, "views") or ()]
    return [each for view in named for each in (view, view.attack) if each is not None]


def planned_views(item: pytest.Item) -> list[View]:
    """Return these views for a plan, where pytest asks for one although `check` has raised."""
    with suppress(ValueError, TypeError):
        return views_of(item)
    return []


def parametrise_images(metafunc: pytest.Metafunc) -> None:
    """Give a test the images that its marker names, in place of the fixture's value; its id stays as it is."""
    images = setting(metafunc.definition, "images")
    if images is not None and "robustcheck_images" in metafunc.fixturenames:
        hidden = getattr(pytest, "HIDDEN_PARAM", "images")  # pytest 8.4
        metafunc.parametrize("robustcheck_images", [images], ids=[hidden], scope="session")
