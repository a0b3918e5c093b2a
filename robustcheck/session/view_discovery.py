"""The views that tests name, so that they are evaluated together, before the first test runs.

Imports inside functions keep the start of a run lazy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import CodeType
from typing import TYPE_CHECKING

import pytest

from robustcheck.errors import RobustcheckError

if TYPE_CHECKING:
    from robustcheck.notation import View


def views_named_by(item: pytest.Item) -> Iterator[View]:
    """Yield the views that a test names, in claims, text constants or parameters, with the attacks on their way.

    A heuristic that costs nothing if it is wrong: the views of all tests that will run are evaluated in one pass over
    the images instead of one pass per test.
    """
    from robustcheck.claims import parse_claim
    from robustcheck.notation import parse

    function = getattr(item, "function", None)
    texts = {*_constants(getattr(function, "__code__", None))}
    callspec = getattr(item, "callspec", None)
    texts.update(value for value in getattr(callspec, "params", {}).values() if isinstance(value, str))
    for text in sorted(texts):
        with suppress(RobustcheckError):
            views = parse_claim(text).views if any(sign in text for sign in "<>") else (parse(text),)
            for view in views:
                yield view
                if view.attack is not None:
                    yield view.attack


def _constants(code: CodeType | None) -> Iterator[str]:
    for constant in code.co_consts if code else ():
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _constants(constant)
        elif isinstance(constant, tuple):
            yield from (part for part in constant if isinstance(part, str))
