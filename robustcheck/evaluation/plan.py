"""From the views that are asked for to the steps that make them, each once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from robustcheck.notation import View, X

_OF_A_GRADIENT = ("label", "target", "through", "eot", "from", "norm")
_OF_ONE_ROW = ("step", "label", "target", "start")
"""Options in which views that climb together may differ: each image of each view is a row of its own."""


@dataclass(frozen=True)
class GradientOf:
    """What the direction of an attack's first step depends on; attacks that agree in it share one."""

    source: View
    options: tuple[tuple[str, str | None], ...]

    @classmethod
    def used_by(cls, attack: View) -> GradientOf | None:
        """Return the direction in which an attack's view starts; None where it is no other view's."""
        if attack.step not in {"Adv", "PGD"} or attack.option("start") == "random":
            return None
        if attack.option("momentum") not in {None, "0"}:
            return None
        return cls.of(attack)

    @classmethod
    def of(cls, attack: View) -> GradientOf:
        """Return what the gradient at an attack's source depends on."""
        return cls(attack.source, tuple((name, attack.option(name)) for name in _OF_A_GRADIENT))

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
    for needed in view.declared.needs(view):
        _add_steps(needed, steps)
    steps[view] = None


def _grouped(steps: Iterable[View]) -> tuple[tuple[View, ...], ...]:
    """Put views that climb by the same rule into one group, where all they are made from is there in time."""
    groups: list[list[View]] = []
    place: dict[View, int] = {X: -1}
    by_rule: defaultdict[Hashable, list[int]] = defaultdict(list)
    for view in steps:
        ready = max(place[needed] for needed in view.declared.needs(view))
        rule = _rule(view)
        at = next((group for group in by_rule[rule] if rule is not None and group > ready), len(groups))
        if at == len(groups):
            groups.append([])
            by_rule[rule].append(at)
        groups[at].append(view)
        place[view] = at
    return tuple(map(tuple, groups))


def _rule(view: View) -> Hashable:
    """Return what views that are made together agree in; None for a view that is made alone."""
    if view.step != "PGD":
        return None
    rule = {name: view.option(name) for name in view.declared.options if name not in _OF_ONE_ROW}
    return (view.option("target") is None, *sorted(rule.items()))
