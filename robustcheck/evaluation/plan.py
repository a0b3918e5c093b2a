"""From the views that are asked for to the steps that make them, each once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from robustcheck.notation import STEPS, View, X


@dataclass(frozen=True)
class GradientOf:
    """What a gradient depends on; attacks that agree in it share one."""

    source: View
    label: str | None
    through: str | None

    @classmethod
    def used_by(cls, attack: View) -> GradientOf:
        """Return the gradient that an attack's view steps along."""
        return cls(attack.source, attack.option("label"), attack.option("through"))


CLEAN_GRADIENT = GradientOf(X, "top", None)
"""The one that every `Adv_e` of the clean images shares."""


@dataclass(frozen=True)
class Plan:
    """What one batch goes through."""

    views: tuple[View, ...]
    """The views to record, clean images first."""
    steps: tuple[View, ...]
    """The views to make from the clean images, each after those it is made from, none twice."""
    clean_gradient: bool
    """Some step needs `CLEAN_GRADIENT`."""


def make_plan(views: Iterable[View]) -> Plan:
    """Return the plan for recording some views.

    >>> from robustcheck.notation import parse
    >>> print(*make_plan([parse("JPG_noise(Adv_1)"), parse("Adv_5")]).steps)
    Adv_1 JPG(Adv_1) JPG_noise(Adv_1) Adv_5
    """
    wanted = dict.fromkeys(views)
    steps: dict[View, None] = {}
    for view in wanted:
        _add_steps(view, steps)
    return Plan(
        views=tuple(sorted(wanted, key=lambda view: view != X)),
        steps=tuple(steps),
        clean_gradient=any(
            step.kind == "attack" and GradientOf.used_by(step) == CLEAN_GRADIENT for step in steps
        ),
    )


def _add_steps(view: View, steps: dict[View, None]) -> None:
    if view == X or view in steps:
        return
    for needed in STEPS[view.step].needs(view):
        _add_steps(needed, steps)
    steps[view] = None
