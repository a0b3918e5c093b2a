"""Views in the notation, of every registered step, amount and option that can be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from robustcheck.errors import RobustcheckError
from robustcheck.notation import STEPS, NotationError, View, X, parse
from robustcheck.notation.options import DRAWS, Choice, Flag, Number, Option, Target
from robustcheck.notation.parser import Through
from robustcheck.strategies.arguments import integer

_LARGEST_AMOUNT = 16
"""Amounts without a default are drawn up to it, or are one of the large ones."""
_LARGE_AMOUNTS = (100, 255)
_MOST_OPTIONS = 2
_THROUGH_WEIGHT = 8
"""How often the defences that an attack goes through are drawn, beside another option: they have the most forms."""
_NUMBERS = ("1", "2", "3", "0.5", "0.25")
"""Small numbers for options, so that the views cost little to evaluate."""


def views(*, steps: Sequence[str] | None = None, deepest: int = 3) -> st.SearchStrategy[View]:
    """Views in the notation, of up to `deepest` nested steps: `x`, `Adv_5`, `JPG_50(Noise_2(Adv_1))`.

    They are made from all registered steps but the families of other libraries, or from those that `steps` names. Amounts
    are small, large, or ranges where these are allowed; options are one or two at a time. `str(view)` is the text. A
    failing view shrinks towards `x` and is printed as `parse("JPG(Adv_1)")`.

    Raises:
        RobustcheckError: a name in `steps` that can't be drawn, or a `deepest` that is not an integer >= 0.
    """
    simple = [name for name, step in STEPS.items() if not step.is_open]
    given: Any = simple if steps is None else steps
    chosen = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not chosen or not set(chosen) <= set(simple):
        raise RobustcheckError(
            f"steps must be some of {', '.join(simple)}; got {', '.join(map(str, chosen)) or 'none'}"
        )
    return _nested(chosen, integer("deepest", deepest, 0))


@st.composite
def _nested(draw: st.DrawFn, chosen: list[str], deepest: int) -> View:
    view = X
    for _ in range(draw(st.integers(0, deepest))):
        name = draw(st.sampled_from(chosen))
        if STEPS[name].kind == "selection":
            others = [other for other in chosen if STEPS[other].kind != "selection"]
            other = _applied(*draw(_heads(draw(st.sampled_from(others)), chosen)), X) if others else X
            view = parse(f"{name}({view}; {other})")
        else:
            view = _applied(*draw(_heads(name, chosen)), view)
    return view


def _applied(head: str, options: str, source: View) -> View:
    """Return the view of a step on another, without its options where the notation refuses them together."""
    try:
        return parse(f"{head}{options}({source})")
    except NotationError:
        return parse(f"{head}({source})")


def _heads(name: str, chosen: list[str]) -> st.SearchStrategy[tuple[str, str]]:
    """A step's name with an allowed amount, and options in brackets."""
    step = STEPS[name]
    values = {
        key: _option_values(option, chosen) for key, option in step.options.items() if option is not DRAWS
    }
    written = [
        text.map(f"{key}={{}}".format)
        for key, text in sorted(values.items())
        for _ in range(_THROUGH_WEIGHT if isinstance(step.options[key], Through) else 1)
        if text is not None
    ]
    amounts = st.just("") if step.amount is None else _amounts(step.amount)
    if not written:
        return st.tuples(amounts.map(f"{name}{{}}".format), st.just(""))
    lists = st.lists(
        st.one_of(written), max_size=_MOST_OPTIONS, unique_by=lambda text: text.partition("=")[0]
    )
    return st.tuples(amounts.map(f"{name}{{}}".format), lists.map(_bracketed))


def _bracketed(options: list[str]) -> str:
    return f"[{','.join(options)}]" if options else ""


def _amounts(declared: Number) -> st.SearchStrategy[str]:
    low, high = max(1, int(declared.low)), declared.high
    if declared.default is None:
        numbers = [*range(low, _LARGEST_AMOUNT + 1), *_LARGE_AMOUNTS]
        return st.sampled_from([f"_{number}" for number in numbers if low <= number <= high])
    single = st.integers(low, int(high))
    ranges = st.lists(single, min_size=2, max_size=2, unique=True).map(sorted)
    texts = [st.just(""), single.map("_{}".format), ranges.map(lambda pair: f"_{pair[0]}..{pair[1]}")]
    return st.one_of(texts if declared.spans else texts[:2])


def _option_values(option: Option, chosen: list[str]) -> st.SearchStrategy[str] | None:
    """The texts of an option's values; None for one whose values can't be told, such as another model's name."""
    if isinstance(option, Choice | Flag):
        return st.sampled_from(option.words)
    if isinstance(option, Target):
        return st.just("least")
    if isinstance(option, Number):
        allowed = [text for text in _NUMBERS if option.low <= float(text) <= option.high]
        if option.integer:
            allowed = [text for text in allowed if text.isdecimal()]
        return st.sampled_from(allowed) if allowed else None
    if isinstance(option, Through):
        passed = [_passed(name) for name in chosen if STEPS[name].gradients]
        return st.lists(st.one_of(passed), min_size=1, max_size=3).map("+".join) if passed else None
    return None


def _passed(name: str) -> st.SearchStrategy[str]:
    """A transform that a gradient goes through, by its own gradient or by the identity."""
    step: Any = STEPS[name]
    amounts = st.just("") if step.amount is None else _amounts(step.amount)
    ways = ["", ":identity"] if "identity" in step.gradients else [""]
    return st.tuples(st.just(name), amounts, st.sampled_from(ways)).map("".join)
