"""A view as a frozen tree, and which defences the attack in it knew of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from robustcheck.notation.options import DRAWS as DRAWS_OPTION
from robustcheck.notation.options import Amount, Options, Span
from robustcheck.notation.registry import Gradient, Step, find_step

IDENTITY = ":identity"
"""What is written behind a defence that the gradient passes as if it were not there."""
DRAW = "draw"
"""What marks the second and further draws of a view; it is never written by a user."""
DRAWS = 8
"""How many draws the gradient is averaged over, in the adaptive counterpart of an attack on a random defence."""


@dataclass(frozen=True)
class View:
    """An image-to-image function: a step applied to the images of other views; `x` is the clean image.

    Made by `parse`, which also checks it; equal views mean the same images.
    """

    step: str
    amount: Amount | None = None
    written: tuple[tuple[str, str], ...] = ()
    """The options that differ from their defaults, sorted, each in its one spelling."""
    sources: tuple[View, ...] = ()

    def __str__(self) -> str:
        if self.sources and self.sources != (X,):
            return f"{self.alone}({'; '.join(map(str, self.sources))})"
        return self.alone

    def __repr__(self) -> str:
        return f"parse({json.dumps(str(self), ensure_ascii=False)})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # IPython and Hypothesis
        printer.text(repr(self))

    @property
    def head(self) -> str:
        """The step with its amount alone, such as `Adv_1`."""
        return self.step if self.amount is None else f"{self.step}_{self.amount}"

    @property
    def alone(self) -> str:
        """The step with its amount and options, without what it is applied to."""
        options = ",".join(f"{key}={value}" for key, value in self.written)
        return f"{self.head}[{options}]" if options else self.head

    @property
    def declared(self) -> Step:
        """The registry's row of the last step."""
        step = find_step(self.step)
        if step is None:
            raise LookupError(f"{self.step} is not a registered step")
        return step

    @property
    def kind(self) -> Literal["clean", "attack", "defence", "noise"]:
        """What the last step is for; a selection among views is an attack if all of them are."""
        if not self.sources:
            return "clean"
        step = self.declared
        if step.kind == "transform":
            return "noise" if step.is_noise else "defence"
        is_defended = step.kind == "selection" and any(view.kind != "attack" for view in self.sources)
        return "defence" if is_defended else "attack"

    @property
    def source(self) -> View:
        """The view that this step is applied to."""
        return self.sources[0]

    @property
    def number(self) -> int | float:
        """The step's amount, or its default; 0 for a step that has none. A `Span` has no one number."""
        amount = self.amount
        if amount is None and self.declared.amount is not None:
            amount = self.declared.amount.default
        if isinstance(amount, Span):
            raise TypeError(f"{self.head} is drawn from a range")
        return amount or 0

    @cached_property
    def options(self) -> Options:
        """The options of the last step as values, defaults included; a library's own as text.

        >>> from robustcheck.notation import parse
        >>> options = parse("Adv_1[through=JPG_50+Noise_2,eot=4]").options
        >>> options.eot, options.norm, options["from"], [str(step.view) for step in options.through]
        (4, 'inf', None, ['JPG_50', 'Noise_2'])
        """
        if not self.sources:
            return Options()
        declared = self.declared.options
        values = {name: option.default for name, option in declared.items()}
        for name, text in self.written:
            values[name] = declared[name].parse(text) if name in declared else text
        return Options(values)

    @property
    def through(self) -> tuple[ThroughStep, ...]:
        """The defences that an attack's gradient goes through."""
        return self.options.through if self.sources and "through" in self.declared.options else ()

    def option_text(self, name: str) -> str | None:
        """Return an option's one spelling, or that of its default; None for none."""
        value = self.options.get(name)
        return None if value in (None, ()) else self.declared.options[name].text(value)

    @property
    def library_options(self) -> dict[str, str]:
        """The options that are not the notation's but those of an attack of another library."""
        declared = self.declared.options
        return {name: text for name, text in self.written if name not in declared and name != DRAW}

    def walk(self) -> Iterator[View]:
        """Every view inside this one, each before those made from it; the last is this one."""
        for source in self.sources:
            yield from source.walk()
        yield self

    @property
    def draws(self) -> tuple[View, ...]:
        """The views that the measures of this one are the means of, each drawn anew; empty for a view that is drawn once.

        The first is the view without its option `draws`.

        >>> from robustcheck.notation import parse
        >>> parse("Noise_2[draws=3](Adv_1)").draws[0], len(parse("Noise_2[draws=3]").draws)
        (parse("Noise_2(Adv_1)"), 3)
        """
        if not self.sources or self.declared.options.get("draws") is not DRAWS_OPTION:
            return ()
        count = self.options.draws
        others = (
            replace(self.undrawn, written=(*self.undrawn.written, (DRAW, str(n))))
            for n in range(2, count + 1)
        )
        return (self.undrawn, *others) if count > 1 else ()

    @property
    def undrawn(self) -> View:
        """This view without its option `draws`: one draw."""
        if self.declared.options.get("draws") is not DRAWS_OPTION:
            return self
        return replace(self, written=tuple((key, text) for key, text in self.written if key != "draws"))

    @property
    def seed_text(self) -> str:
        """The view as its random numbers depend on it where they do not depend on its options, such as random starts."""
        return str(replace(self, written=tuple(each for each in self.written if each[0] == DRAW)))

    @property
    def is_seeded(self) -> bool:
        """Whether it is drawn at random, by seeds."""
        return any(view.sources and view.declared.is_seeded(view) for view in self.walk())

    @property
    def attack(self) -> View | None:
        """The last attack on the way to this view, or None; of a selection among defended views, that of theirs."""
        if not self.sources or self.kind == "attack":
            return self if self.sources else None
        if self.declared.kind != "selection":
            return self.source.attack
        attacks = [source.attack for source in self.sources]
        return choice_of(self.step, [attack for attack in attacks if attack is not None])

    @property
    def blind_to(self) -> tuple[str, ...]:
        """The defences that stand after an attack whose gradient did not go through them.

        A claim measured on such a view says little about an attacker who knows of the defence.

        >>> from robustcheck.notation import parse
        >>> parse("JPG(Adv_1)").blind_to, parse("JPG(Adv_1[through=JPG])").blind_to
        (('JPG',), ())
        """
        return _unseen(self) or ()

    @property
    def adaptive_counterpart(self) -> View | None:
        """This view with its attack going through all defences after it; None if it can't, or need not.

        >>> from robustcheck.notation import parse
        >>> parse("JPG_50(Adv_1)").adaptive_counterpart
        parse("JPG_50(Adv_1[through=JPG_50])")
        """
        if not self.blind_to:
            return None
        adaptive = _with_adaptive_attack(self, [])
        return None if adaptive == self else adaptive


X = View("x")


@dataclass(frozen=True)
class ThroughStep:
    """One of the defences that an attack's gradient goes through, and how it does."""

    view: View
    """The defence, on clean images."""
    gradient: Gradient

    def __str__(self) -> str:
        return self.view.alone + (IDENTITY if self.gradient == "identity" else "")


def choice_of(step: str, views: Iterable[View]) -> View | None:
    """Return the selection among some views in its one form: flat, sorted, none twice; None for no views."""
    flat: dict[View, None] = {}
    for view in views:
        flat.update(dict.fromkeys(view.sources if view.step == step else (view,)))
    if len(flat) < 2:
        return next(iter(flat), None)
    return View(step, sources=tuple(sorted(flat, key=str)))


def _unseen(view: View, after: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """Return what stands after the last attack and its gradient did not go through; None if there is no attack.

    `after` is what stands around the view, outermost first. A selection is not blind as soon as one of its attacks is
    not, since the strongest decides.
    """
    if not view.sources:
        return None
    step = view.declared
    if step.kind == "selection":
        found = [blind for source in view.sources if (blind := _unseen(source, after)) is not None]
        if not found:
            return None
        return tuple(dict.fromkeys(name for blind in found for name in blind)) if all(found) else ()
    if step.kind == "attack":
        seen = {passed.view.alone for passed in view.through}
        return tuple(name for name in after if name not in seen)
    return _unseen(view.source, (*after, view.undrawn.alone) if step.gradients else after)


def _with_adaptive_attack(view: View, after: list[View]) -> View | None:
    if not view.sources:
        return None
    step = view.declared
    if step.kind == "selection":
        adaptive = [_with_adaptive_attack(source, after) for source in view.sources]
        return choice_of(view.step, [new or own for new, own in zip(adaptive, view.sources, strict=True)])
    if step.kind == "attack":
        return _going_through(view, after) if after and "through" in step.options else None
    inner = _with_adaptive_attack(view.source, [view, *after] if step.gradients else after)
    return inner and replace(view, sources=(inner,))


def _going_through(attack: View, defences: list[View]) -> View:
    passed = [ThroughStep(defence.undrawn, defence.declared.gradients[0]) for defence in defences]
    options = dict(attack.written) | {"through": "+".join(map(str, passed))}
    drawn = any(defence.kind == "noise" or isinstance(defence.amount, Span) for defence in defences)
    if drawn and "eot" in attack.declared.options:
        options.setdefault("eot", str(DRAWS))
    return replace(attack, written=tuple(sorted(options.items())))
