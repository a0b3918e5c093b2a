"""A step as a function call gives it: values in place of text, read and checked by the same row."""

from __future__ import annotations

from collections.abc import Mapping

from robustcheck.errors import RobustcheckError
from robustcheck.notation.options import Amount
from robustcheck.notation.registry import find_step
from robustcheck.notation.tree import View, X


def view_of_call(name: str, amount: Amount | None, options: Mapping[str, object]) -> View:
    """Return the view `name_amount[options]` of the clean images; an option that is None has its default.

    >>> view_of_call("PGD", 8, {"steps": 40, "restarts": 1, "step": None})
    parse("PGD_8[steps=40]")

    Raises `RobustcheckError` that says what is allowed.
    """
    step = find_step(name)
    if step is None:
        raise LookupError(f"{name} is not a registered step")
    written: dict[str, str] = {}
    for key, value in options.items():
        option = step.options[key]
        try:
            parsed = option.default if value is None else option.parse(str(value))
        except ValueError as error:
            raise RobustcheckError(str(error)) from None
        if parsed != option.default:
            written[key] = option.text(parsed)
    view = View(name, amount, tuple(sorted(written.items())), (X,))
    if problem := step.check(view):
        raise RobustcheckError(problem[1])
    return view
