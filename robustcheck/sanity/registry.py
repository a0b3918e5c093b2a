"""All checks, by name, and running them."""

from __future__ import annotations

from collections.abc import Iterable

from robustcheck.errors import unknown
from robustcheck.images import ImageSet
from robustcheck.models import Classifier
from robustcheck.options.types import transfer_models
from robustcheck.sanity import attack_aim, attacks, codec, defences, gradients, image_sample, labels
from robustcheck.sanity import logits as outputs
from robustcheck.sanity.check import Check, CheckResult
from robustcheck.sanity.subject import Subject

CHECKS: dict[str, Check] = {
    check.name: check
    for module in (outputs, gradients, image_sample, labels, attacks, attack_aim, defences, codec)
    for check in map(Check, module.CHECKS)
}
"""By name, cheap ones first."""
OF_THE_ATTACK = (*attacks.OF_THE_ATTACK, *attack_aim.OF_THE_ATTACK)
"""Those that say something of an attack that a repository registered."""


def examine(
    classifier: Classifier,
    images: ImageSet,
    *,
    attack: str = "Adv",
    transfer: str | None = None,
    only: Iterable[str] | None = None,
    count: int = 64,
    seed: int = 0,
    batch_size: int | str | None = None,
) -> tuple[CheckResult, ...]:
    """Run the checks on a classifier and images, and return what each found.

    `attack` is the step that is examined: `Adv`, or one that was registered. `transfer` names a model that knows the
    same classes, to make attacks on. `only` are names of checks, in `CHECKS`; None is all. At most `count` images are
    taken, drawn by `seed`.

    Raises `RobustcheckError` for a check that there is none of, and for an attack that is no step.
    """
    names = list(CHECKS if only is None else only)
    for name in names:
        if name not in CHECKS:
            raise unknown("check", name, CHECKS)
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
    return tuple(CHECKS[name].run(subject) for name in names)
