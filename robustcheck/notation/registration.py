"""A repository's own attacks and defences: a function and a decorator, and the step can be written in views.

    @robustcheck.register_defence("Median", amount="size", gradient="identity")
    def median(images, *, size: int = 3):
        ...                                     # uint8 (N, 3, H, W) to the same

    @robustcheck.register_attack("Darken")
    def darken(classifier, images, labels, *, epsilon: int, spare: float = 0.5):
        ...                                     # uint8 within epsilon levels of images

`Median_5(Adv_1)`, `Adv_1[through=Median_5:identity]` and `Darken_8[spare=0.25]` are views then, checked like any
other. Options are the function's keyword-only parameters; what they may be is what their defaults are. Importing this
module, or decorating, imports no torch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from robustcheck.errors import RobustcheckError
from robustcheck.notation.options import DRAWS, Choice, Flag, Number, Option, Text
from robustcheck.notation.registry import STEPS, Gradient, Step, add_steps
from robustcheck.notation.steps import LABEL, MOST_LEVELS

Function = TypeVar("Function", bound=Callable[..., Any])

SEEDS = "seeds"
"""The parameter that a function takes what is random from: a list of integers, one for each image."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z][A-Za-z0-9]*)*")


def register_defence(
    name: str, *, amount: str | None = None, gradient: Gradient = "identity"
) -> Callable[[Function], Function]:
    """Make a function a defence that views can name.

    The function takes images, uint8 (N, 3, H, W) on the classifier's device, and keyword-only options, and returns
    uint8 images of the same shape. `amount` is the option that is written behind the name, as 5 in `Median_5`.
    `gradient` is "own" if the function is also called with float pixels 0..255 and autograd can follow it, so that
    an attack can go `through=NAME`; else the attack passes it by the identity (BPDA; Athalye, Carlini, Wagner
    2018). With a parameter `seeds` it gets one integer per image to draw what is random from.

    Raises `RobustcheckError` for a name that can't be written or is taken, and for a function whose parameters
    can't be options.
    """
    gradients: tuple[Gradient, ...] = ("own", "identity") if gradient == "own" else ("identity",)
    return _registration(name, "transform", amount, gradients)


def register_attack(name: str) -> Callable[[Function], Function]:
    """Make a function an attack that views can name, such as `NAME_8` with epsilon 8.

    The function takes the classifier, images (uint8 (N, 3, H, W) on its device), labels (int64 (N,): l_x, or the
    images' own for `[label=true]`), `epsilon` in pixel levels and its own keyword-only options. It returns uint8
    images of the same shape within epsilon levels of `images`; a view of one that does not is an error. With a
    parameter `seeds` it gets one integer per image to draw what is random from.

    Raises `RobustcheckError` as `register_defence` does.
    """
    return _registration(name, "attack", "epsilon")


def _registration(
    name: str, kind: Literal["attack", "transform"], amount: str | None, gradients: tuple[Gradient, ...] = ()
) -> Callable[[Function], Function]:
    is_attack = kind == "attack"

    def register(function: Function) -> Function:
        number, options, seeded = _parameters(name, function, positional=3 if is_attack else 1, amount=amount)
        step = Step(
            name,
            kind,
            summary=(inspect.getdoc(function) or str(function)).partition("\n")[0],
            implementation=f"robustcheck.{kind}s.custom:call_function",
            amount=number,
            options=({"label": LABEL} if is_attack else {}) | {"draws": DRAWS} | options,
            is_seeded=lambda _: seeded,
            gradients=gradients,
            function=function,
        )
        _add(step)
        return function

    return register


def _add(step: Step) -> None:
    known = STEPS.get(step.name)
    if not _NAME.fullmatch(step.name) or step.name == "x":
        raise RobustcheckError(
            f"a step is named by letters and digits, beginning with a letter, got {step.name!r}: digits behind an "
            "underscore are its amount"
        )
    if f"{step.name}:" in STEPS or (known is not None and not _is_the_same(known, step)):
        raise RobustcheckError(f"there is a step {step.name} already: register yours under another name")
    add_steps(step)


def _is_the_same(known: Step, step: Step) -> bool:
    """Whether it is the same function, imported once more."""
    old, new = (
        (getattr(each.function, "__module__", None), getattr(each.function, "__qualname__", None))
        for each in (known, step)
    )
    return known.function is not None and old == new


def _parameters(
    name: str, function: Callable[..., Any], *, positional: int, amount: str | None
) -> tuple[Number | None, dict[str, Option], bool]:
    """Return the amount, the options, and whether it draws at random, as a function's parameters say."""
    kinds = inspect.Parameter
    parameters = _signature(name, function).parameters
    taken = [p for p in parameters.values() if p.kind in {kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD}]
    named = {key: p for key, p in parameters.items() if p.kind is kinds.KEYWORD_ONLY and key != SEEDS}
    wanted = "(images, *, ...)" if positional == 1 else "(classifier, images, labels, *, epsilon, ...)"
    if len(taken) != positional or len(parameters) != positional + len(named) + (SEEDS in parameters):
        raise RobustcheckError(f"the function of {name} takes {wanted}, got {inspect.signature(function)}")
    if amount is not None and amount not in named:
        raise RobustcheckError(f"the function of {name} lacks the keyword-only parameter {amount}: {wanted}")
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):  # annotations that are only there for a type checker
        hints = {}
    number: Number | None = None
    options: dict[str, Option] = {}
    for key, parameter in named.items():
        option = _option(name, key, parameter, hints.get(key))
        if key != amount:
            options[key] = option
        elif isinstance(option, Number):
            number = option
        else:
            raise RobustcheckError(f"{key} is what is written behind {name}: a number, got {parameter}")
    return number, options, SEEDS in parameters


def _option(step: str, key: str, parameter: inspect.Parameter, hint: object) -> Option:
    if key == "epsilon":
        return Number(key, 1, MOST_LEVELS, integer=True, because="in pixel levels of 0..255")
    given = None if parameter.default is inspect.Parameter.empty else parameter.default
    if get_origin(hint) is Literal:
        return Choice(key, tuple(map(str, get_args(hint))), None if given is None else str(given))
    kind = type(given) if given is not None else hint
    if kind is bool:
        return Flag(key, given)
    if kind in (int, float):
        return Number(key, default=given, integer=kind is int)
    if kind is str:
        return Text(key, given)
    raise RobustcheckError(
        f"the parameter {key} of {step} has no default that says what may be written: give it one that is a number, "
        "text, true or false, or annotate it so"
    )


def _signature(name: str, function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:  # no function, or one of C
        raise RobustcheckError(
            f"the function of {name} must be a Python function, whose parameters can be read, got {function!r}: write a "
            "function that calls it"
        ) from error


def arguments(step: Step, amount: object, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments for a registered step's function: the amount and those options that were given."""
    parameters = inspect.signature(step.function).parameters if step.function else {}
    named = {key: value for key, value in options.items() if key in parameters}
    if step.amount is not None and amount is not None:
        named[step.amount.name] = amount
    return named
