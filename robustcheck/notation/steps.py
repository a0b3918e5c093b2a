"""The steps that are there without anybody registering them. What they do to images: `robustcheck.evaluation.steps`."""

from __future__ import annotations

from robustcheck.notation.tree import FAMILIES, STEPS, Option, Span, Step, View
from robustcheck.notation.values import Choice, Number, Target, Text, Through, passages

MOST_LEVELS = 255
_BECAUSE = (
    "in pixel levels of 0..255; a view is 8 bits deep, and rounding would erase or change anything else"
)
_LEVELS = Number("epsilon", 1, MOST_LEVELS, integer=True, because=_BECAUSE)
_EPSILON = Number(
    "epsilon",
    1,
    100_000,
    integer=True,
    because=_BECAUSE,
    words=f"a whole number from 1 to {MOST_LEVELS} (an L2 norm, with norm=2, to 100000)",
)
_QUALITY = Number("quality", 1, 100, default=75, integer=True, spans=True)
_AIM: dict[str, Option] = {
    "label": Choice("label", ("top", "true"), default="top"),
    "target": Target("target"),
    "through": Through("through"),
    "eot": Number("eot", 1, 1000, default=1, integer=True),
    "from": Text("from"),
    "norm": Choice("norm", ("inf", "2"), default="inf"),
}
_ITERATION: dict[str, Option] = {
    "steps": Number("steps", 1, 10_000, default=20, integer=True),
    "step": Number("step", 0.001, 100_000),
    "restarts": Number("restarts", 1, 1000, default=1, integer=True),
    "start": Choice("start", ("random", "zero"), default="random"),
    "momentum": Number("momentum", 0, 1, default=0),
}


def _check_attack(view: View) -> tuple[str, str] | None:
    given = dict(view.options)
    if view.option("norm") == "inf" and (problem := _too_large(view)):
        return "", problem
    if "label" in given and "target" in given:
        return "target", "an attack flees from a label or makes for a target: give label or target, not both"
    if view.option("start") == "zero" and view.option("restarts") != "1":
        return "restarts", "restarts differ by their random start: give restarts or start=zero, not both"
    return None


def _too_large(view: View) -> str | None:
    try:
        _LEVELS.read(str(view.amount))
    except ValueError as error:
        return str(error)
    return None


def _is_drawn(view: View) -> bool:
    """Whether an attack has a random start, or averages over what is random in the defences it goes through."""
    from robustcheck.notation.parser import parse

    return view.option("start") == "random" or any(
        parse(part).is_seeded for part, _ in passages(view.option("through"))
    )


def _always(view: View) -> bool:  # noqa: ARG001 - the signature of `Step.is_seeded`
    return True


def _draws_quality(view: View) -> bool:
    return isinstance(view.amount, Span)


STEPS.update(
    (step.name, step)
    for step in (
        Step("Adv", "attack", "fast gradient sign", _EPSILON, _AIM, check=_check_attack, is_seeded=_is_drawn),
        Step(
            "PGD",
            "attack",
            "projected gradient descent",
            _EPSILON,
            _AIM | _ITERATION,
            check=_check_attack,
            is_seeded=_is_drawn,
        ),
        Step("JPG", "defence", "JPEG recompression", _QUALITY, is_seeded=_draws_quality, gradient="own"),
        Step(
            "JPG_noise",
            "noise",
            "the change that JPEG makes, its entries permuted",
            _QUALITY,
            needs=lambda view: (view.source, View("JPG", view.amount, (), view.sources)),
            is_seeded=_always,
        ),
        Step("Noise", "noise", "random signs", _LEVELS, is_seeded=_always, gradient="identity"),
        Step("Worst", "choice", "per image, the view that hurts most"),
        Step(
            "autoattack",
            "attack",
            "AutoAttack, an ensemble of parameter-free attacks",
            _EPSILON,
            {"label": _AIM["label"]},
            is_seeded=_always,
            is_open=True,
        ),
    )
)

FAMILIES.update(
    (
        prefix,
        Step(
            f"{prefix}:NAME",
            "attack",
            f"an attack of {library}",
            _EPSILON,
            {"label": _AIM["label"]},
            is_seeded=_always,
            is_open=True,
        ),
    )
    for prefix, library in (
        ("art", "the Adversarial Robustness Toolbox"),
        ("foolbox", "Foolbox"),
        ("torchattacks", "torchattacks"),
    )
)
