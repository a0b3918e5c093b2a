"""The rows of the registry: all steps that are built in, and the families of other libraries' attacks."""

from __future__ import annotations

from robustcheck.notation.options import DRAWS, Choice, ModelNames, Number, Option, Span, Target
from robustcheck.notation.parser import Through
from robustcheck.notation.registry import Step, Strength, add_steps
from robustcheck.notation.tree import View

MOST_LEVELS = 255
_BECAUSE = (
    "in pixel levels of 0..255; a view is 8 bits deep, and rounding would erase or change anything else"
)
LEVELS = Number("epsilon", 1, MOST_LEVELS, integer=True, because=_BECAUSE)
_EPSILON = Number(
    "epsilon",
    1,
    100_000,
    integer=True,
    because=_BECAUSE,
    words=f"an integer from 1 to {MOST_LEVELS} (an L2 norm, with norm=2, to 100000)",
)
_QUALITY = Number("quality", 1, 100, default=75, integer=True, spans=True)
LABEL = Choice("label", ("top", "true"), default="top")
_LOSSES = ("scaled_log_odds", "margin", "log_odds", "dlr")
_DRAWN: dict[str, Option] = {"draws": DRAWS}
_AIM: dict[str, Option] = {
    "label": LABEL,
    **_DRAWN,
    "target": Target("target"),
    "through": Through("through"),
    "eot": Number("eot", 1, 1000, default=1, integer=True),
    "from": ModelNames("from"),
    "norm": Choice("norm", ("inf", "2"), default="inf"),
    "loss": Choice("loss", _LOSSES, default="log_odds"),
}
_STRONGEST_LOSS: dict[str, Option] = {"loss": Choice("loss", _LOSSES, default="scaled_log_odds")}
_ITERATION: dict[str, Option] = {
    "steps": Number("steps", 1, 10_000, default=20, integer=True),
    "step": Number("step", 0.001, 100_000),
    "restarts": Number("restarts", 1, 1000, default=1, integer=True),
    "start": Choice("start", ("random", "zero"), default="random"),
    "momentum": Number("momentum", 0, 1, default=0.0),
}
_ADAPTIVE_ITERATION: dict[str, Option] = {
    "steps": Number("steps", 1, 10_000, default=50, integer=True),
    "restarts": _ITERATION["restarts"],
}
_SEARCH: dict[str, Option] = {
    "norm": Choice("norm", ("inf",), default="inf"),
    "loss": Choice("loss", _LOSSES, default="margin"),
    "queries": Number("queries", 1, 1_000_000, default=1000, integer=True),
    "share": Number("share", 0.001, 1, default=0.8),
}


def _check_attack(view: View) -> tuple[str, str] | None:
    options = view.options
    if options.norm == "inf" and view.number > MOST_LEVELS:
        return "", f"epsilon must be {LEVELS.allowed()}, got {view.amount}"
    if {"label", "target"} <= dict(view.written).keys():
        return (
            "target",
            "an attack is untargeted (label) or targeted (target): give label or target, not both",
        )
    if options.get("start") == "zero" and options.restarts > 1:
        return "restarts", "restarts differ by their random start: give restarts or start=zero, not both"
    return None


def _is_drawn(view: View) -> bool:
    """Whether an attack has a random start, or averages over what is random in the defences it goes through."""
    return view.options.get("start") == "random" or any(passed.view.is_seeded for passed in view.through)


def _starts_at_its_source(view: View) -> bool:
    return view.options.start == "zero" and not view.options.momentum


def _library(name: str, package: str, *distributions: str, example: str, summary: str) -> Step:
    return Step(
        name,
        "attack",
        summary,
        f"robustcheck.attacks.external.{package}:attack",
        example,
        _EPSILON,
        {"label": LABEL, **_DRAWN},
        is_open=True,
        validator=f"robustcheck.attacks.external.{package}:attack.validate",
        distributions=distributions,
        is_seeded=lambda _view: True,
    )


add_steps(
    Step(
        "Adv",
        "attack",
        "fast gradient sign",
        "robustcheck.attacks.fgs:adversarial_images",
        "Adv_1",
        _EPSILON,
        _AIM,
        check=_check_attack,
        is_seeded=_is_drawn,
        shares_gradient=lambda _view: True,
        strength=Strength(1),
    ),
    Step(
        "PGD",
        "attack",
        "projected gradient descent",
        "robustcheck.attacks.pgd:adversarial_images",
        "PGD_8[steps=40,through=JPG]",
        _EPSILON,
        _AIM | _STRONGEST_LOSS | _ITERATION,
        check=_check_attack,
        is_seeded=_is_drawn,
        shares_gradient=_starts_at_its_source,
        differ_in=("step", "label", "target", "start"),
        strength=Strength(2, grows=True),
    ),
    Step(
        "APGD",
        "attack",
        "Auto-PGD, whose steps halve where the loss stalls",
        "robustcheck.attacks.apgd:adversarial_images",
        "APGD_8[steps=50]",
        _EPSILON,
        _AIM | _STRONGEST_LOSS | _ADAPTIVE_ITERATION,
        check=_check_attack,
        is_seeded=lambda _view: True,
        differ_in=("label", "target"),
        strength=Strength(2, grows=True),
    ),
    Step(
        "Square",
        "attack",
        "random search by squares, without a gradient",
        "robustcheck.attacks.square:adversarial_images",
        "Square_8[queries=1000]",
        LEVELS,
        _AIM | _SEARCH,
        check=_check_attack,
        is_seeded=lambda _view: True,
    ),
    Step(
        "JPG",
        "transform",
        "JPEG recompression",
        "robustcheck.transforms.jpeg:recompress",
        "JPG_50..90(Adv_1)",
        _QUALITY,
        _DRAWN,
        is_seeded=lambda view: isinstance(view.amount, Span),
        gradients=("own", "identity"),
        control="JPG_noise",
        title="JPEG",
    ),
    Step(
        "JPG_noise",
        "transform",
        "the change that JPEG makes, its entries permuted",
        "robustcheck.transforms.jpeg_noise:permute_change",
        "JPG_noise(Adv_1)",
        _QUALITY,
        _DRAWN,
        needs=lambda view: (view.source, View("JPG", view.amount, (), view.sources)),
        is_seeded=lambda _view: True,
        is_noise=True,
    ),
    Step(
        "Noise",
        "transform",
        "random signs",
        "robustcheck.transforms.noise:add_random_signs",
        "Noise_2",
        LEVELS,
        _DRAWN,
        is_seeded=lambda _view: True,
        gradients=("own",),
        is_noise=True,
        strength=Strength(0),
    ),
    Step(
        "Worst",
        "selection",
        "per image, the view that hurts most",
        "robustcheck.transforms.worst:most_harmful",
        "Worst(Adv_1; PGD_1)",
    ),
    _library(
        "autoattack",
        "autoattack",
        "autoattack",
        "pyautoattack",
        example="autoattack_8[attacks=apgd-ce+square]",
        summary="AutoAttack, an ensemble of parameter-free attacks",
    ),
    _library(
        "art:NAME",
        "art",
        "adversarial-robustness-toolbox",
        example="art:ProjectedGradientDescent_8[max_iter=20]",
        summary="an attack of the Adversarial Robustness Toolbox",
    ),
    _library(
        "foolbox:NAME",
        "foolbox",
        "foolbox",
        example="foolbox:LinfPGD_8[steps=40]",
        summary="an attack of Foolbox",
    ),
    _library(
        "torchattacks:NAME",
        "torchattacks",
        "torchattacks",
        example="torchattacks:PGD_8[steps=10,alpha=0.01]",
        summary="an attack of torchattacks",
    ),
)
