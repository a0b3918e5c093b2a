"""All checks, by name, and running them."""

from __future__ import annotations

from collections.abc import Iterable

from robustcheck.errors import unknown
from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.notation import View, parse
from robustcheck.options.types import transfer_models
from robustcheck.sanity import attack_aim, attacks, codec, defences, gradients, image_sample, labels
from robustcheck.sanity import logits as outputs
from robustcheck.sanity.check import Check, CheckResult
from robustcheck.sanity.planted_examples import NAME as PLANTED
from robustcheck.sanity.planted_examples import attacks_in, planted_check
from robustcheck.sanity.subject import Subject

CHECKS: dict[str, Check] = {
    check.name: check
    for module in (outputs, gradients, image_sample, labels, attacks, attack_aim, defences, codec)
    for check in map(Check, module.CHECKS)
}
"""By name, cheap ones first."""
OF_THE_ATTACK = (*attacks.OF_THE_ATTACK, *attack_aim.OF_THE_ATTACK)
"""Those that say something of an attack that a repository registered."""


def find_check(name: str) -> Check:
    """Return the check of a name in `CHECKS`, or that of an attack: `attack_finds_the_planted_example[PGD_8]`.

    Raises `RobustcheckError` for a check that there is none of.
    """
    if name.startswith(f"{PLANTED}[") and name.endswith("]"):
        return planted_check(name[len(PLANTED) + 1 : -1])
    if name not in CHECKS:
        raise unknown("check", name, [*CHECKS, f"{PLANTED}[PGD_8]"])
    return CHECKS[name]


def planted_checks(views: Iterable[str | View]) -> list[Check]:
    """Return a check for each attack in some views that it has to find what is planted for it."""
    return [planted_check(view) for view in attacks_in(map(parse, views))]


def examine(
    classifier: Classifier,
    images: ImageSet,
    *,
    attack: str = "Adv",
    transfer: str | None = None,
    only: Iterable[str] | None = None,
    views: Iterable[str] = (),
    count: int = 64,
    seed: int = 0,
    batch_size: int | str | None = None,
) -> tuple[CheckResult, ...]:
    """Run the checks on a classifier and images, and return what each found.

    `attack` is the step that is examined: `Adv`, or one that was registered. `transfer` names a model that knows the
    same classes, to make attacks on. `only` are names of checks, in `CHECKS`; None is all. `views` are those of claims:
    each attack in them has to find the examples that are planted for it. At most `count` images are taken, drawn by
    `seed`.

    Raises `RobustcheckError` for a check that there is none of, and for an attack that is no step.
    """
    checks = [find_check(name) for name in (CHECKS if only is None else only)] + planted_checks(views)
    subject = Subject(
        classifier,
        images,
        attack=attack,
        transfer=None if transfer is None else transfer_models(transfer),
        count=count,
        seed=seed,
        batch_size=batch_size,
    )
    subject.view(1)  # raises where it is no attack
    return tuple(check.run(subject) for check in checks)
