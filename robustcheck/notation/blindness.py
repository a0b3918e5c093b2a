"""Which defences an attack knew of, and the same attack if it had known of all of them."""

from __future__ import annotations

from dataclasses import replace

from robustcheck.notation.tree import Span, View, choice_of
from robustcheck.notation.values import IDENTITY, passages

DRAWS = 8
"""How many draws the gradient is averaged over, in the twin of an attack on a defence that is drawn at random."""


def unseen(view: View, after: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """Return what stands after the last attack and its gradient did not go through; None where there is no attack.

    `after` is what stands around the view, outermost first. A choice among views is not blind as soon as one of
    its attacks is not, since the strongest decides.
    """
    if not view.sources:
        return None
    step = view.declared
    if step.kind == "choice":
        found = [blind for source in view.sources if (blind := unseen(source, after)) is not None]
        if not found:
            return None
        return tuple(dict.fromkeys(name for blind in found for name in blind)) if all(found) else ()
    if step.kind == "attack":
        seen = {name for name, _ in passages(view.option("through"))}
        return tuple(name for name in after if name not in seen)
    return unseen(view.source, (*after, view.alone) if step.gradient else after)


def adaptive(view: View) -> View | None:
    """Return the view with its attack going through all that stands after it, or None where it can't or need not."""
    if not unseen(view):
        return None
    twin = _with_attack_through(view, [])
    return None if twin == view else twin


def _with_attack_through(view: View, after: list[View]) -> View | None:
    if not view.sources:
        return None
    step = view.declared
    if step.kind == "choice":
        twins = [_with_attack_through(source, after) for source in view.sources]
        return choice_of(view.step, [twin or own for twin, own in zip(twins, view.sources, strict=True)])
    if step.kind == "attack":
        return _through(view, after) if after and "through" in step.options else None
    inner = _with_attack_through(view.source, [view, *after] if step.gradient else after)
    return inner and replace(view, sources=(inner,))


def _through(attack: View, defences: list[View]) -> View:
    parts = [
        defence.alone
        + (IDENTITY if defence.declared.gradient == "identity" and defence.kind == "defence" else "")
        for defence in defences
    ]
    options = dict(attack.options) | {"through": "+".join(parts)}
    drawn = any(defence.kind == "noise" or isinstance(defence.amount, Span) for defence in defences)
    if drawn and "eot" in attack.declared.options:
        options.setdefault("eot", str(DRAWS))
    return replace(attack, options=tuple(sorted(options.items())))
