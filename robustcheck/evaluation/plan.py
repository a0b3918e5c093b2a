"""From the views that are asked for to the steps that make them, each once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from robustcheck.notation import View, X
from robustcheck.notation.registry import AIM
from robustcheck.notation.tree import DRAW


@dataclass(frozen=True)
class GradientOf:
    """What the gradient at an attack's source depends on; attacks that agree in it share the first step's direction."""

    source: View
    options: tuple[tuple[str, str | None], ...]

    @classmethod
    def used_by(cls, attack: View) -> GradientOf | None:
        """Return the gradient that an attack's first step follows; None if no other attack can share it."""
        return cls.of(attack) if attack.declared.shares_gradient(attack) else None

    @classmethod
    def of(cls, attack: View) -> GradientOf:
        """Return what the gradient at an attack's source depends on."""
        return cls(attack.source, tuple((name, attack.option_text(name)) for name in AIM))

    def __str__(self) -> str:
        return f"{dict(self.options)} at {self.source}"


CLEAN_GRADIENT = GradientOf.of(View("Adv", 1, (), (X,)))
"""The one that every `Adv_e` of the clean images shares."""


@dataclass(frozen=True)
class Plan:
    """What one batch goes through."""

    views: tuple[View, ...]
    """The views to record, clean images first."""
    steps: tuple[tuple[View, ...], ...]
    """The views to make from the clean images, each after those it is made from, none twice; some several at once."""
    clean_gradient: bool
    """Some step needs `CLEAN_GRADIENT`."""


def make_plan(views: Iterable[View]) -> Plan:
    """Return the plan for recording some views.

    >>> from robustcheck.notation import parse
    >>> plan = make_plan([parse("JPG_noise(Adv_1)"), parse("PGD_5"), parse("PGD_8")])
    >>> print(*(" and ".join(map(str, group)) for group in plan.steps), sep=", ")
    Adv_1, JPG(Adv_1), JPG_noise(Adv_1), PGD_5 and PGD_8
    """
    wanted = dict.fromkeys(views)
    steps: dict[View, None] = {}
    for view in wanted:
        _add_steps(view, steps)
    return Plan(
        views=tuple(sorted(wanted, key=lambda view: view != X)),
        steps=_grouped(steps),
        clean_gradient=any(GradientOf.used_by(step) == CLEAN_GRADIENT for step in steps),
    )


def _add_steps(view: View, steps: dict[View, None]) -> None:
    if view == X or view in steps:
        return
    for needed in _needed(view):
        _add_steps(needed, steps)
    steps[view] = None


def _needed(view: View) -> Iterable[View]:
    return view.draws or view.declared.needs(view)


def _grouped(steps: Iterable[View]) -> tuple[tuple[View, ...], ...]:
    """Put views that can be made in one batch into one group, if all they are made from is there in time."""
    groups: list[list[View]] = []
    place: dict[View, int] = {X: -1}
    by_rule: defaultdict[Hashable, list[int]] = defaultdict(list)
    for view in steps:
        ready = max(place[needed] for needed in _needed(view))
        rule = _rule(view)
        at = next((group for group in by_rule[rule] if rule is not None and group > ready), len(groups))
        if at == len(groups):
            groups.append([])
            by_rule[rule].append(at)
        groups[at].append(view)
        place[view] = at
    return tuple(map(tuple, groups))


def _rule(view: View) -> Hashable:
    """Return what views that are made in one batch agree in; None for a view that is made alone."""
    step = view.declared
    if step.differ_in is None or view.draws:
        return None
    common = tuple(value for name, value in view.options.items() if name not in {*step.differ_in, DRAW})
    return step.name, view.options.get("target") is None, common
