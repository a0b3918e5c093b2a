"""A view as a frozen tree, and what is declared of each step that can stand in one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["clean", "attack", "defence", "noise"]


@dataclass(frozen=True)
class Span:
    """A number that is drawn anew for each image, from low to high, both included."""

    low: int | float
    high: int | float

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


Amount = int | float | Span


@dataclass(frozen=True)
class View:
    """An image-to-image function: a step applied to the images of other views; `x` is the clean image.

    Made by `parse`, which also checks it; equal views mean the same images.
    """

    step: str
    amount: Amount | None = None
    options: tuple[tuple[str, str], ...] = ()
    sources: tuple[View, ...] = ()

    def __str__(self) -> str:
        if self.sources and self.sources != (X,):
            return f"{self.alone}({'; '.join(map(str, self.sources))})"
        return self.alone

    def __repr__(self) -> str:
        return f"<view {self}>"

    @property
    def head(self) -> str:
        """The step with its amount alone, such as `Adv_1`."""
        return self.step if self.amount is None else f"{self.step}_{self.amount}"

    @property
    def alone(self) -> str:
        """The step with its amount and options, without what it is applied to."""
        options = ",".join(f"{key}={value}" for key, value in self.options)
        return f"{self.head}[{options}]" if options else self.head

    @property
    def slug(self) -> str:
        """The view as pytest's `-k` can select it: letters, digits, `_`, `.`, `-`, `+` and `/`.

        >>> from robustcheck.notation import parse
        >>> parse("JPG_50(Adv_1)").slug
        'JPG_50-Adv_1'
        """
        text = str(self).rstrip(")").replace(")", "/").replace("; ", "+")
        return re.sub(r"[^\w.+/]+", "-", text).strip("-")

    @property
    def declared(self) -> Step:
        """What is declared of the last step."""
        step = declared(self.step)
        if step is None:
            raise LookupError(f"{self.step} is no step that was declared")
        return step

    @property
    def kind(self) -> Kind:
        """What the last step is for; a choice among views is an attack where all of them are."""
        if not self.sources:
            return "clean"
        kind = self.declared.kind
        if kind != "choice":
            return kind
        return "attack" if all(source.kind == "attack" for source in self.sources) else "defence"

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

    def option(self, name: str) -> str | None:
        """The text of an option, or its default, if there is one."""
        option = self.declared.options.get(name)
        default = None if option is None or option.default is None else str(option.default)
        return dict(self.options).get(name, default)

    def walk(self) -> Iterator[View]:
        """Every view inside this one, each before those made from it; the last is this one."""
        for source in self.sources:
            yield from source.walk()
        yield self

    @property
    def is_seeded(self) -> bool:
        """Whether it is drawn at random, by seeds."""
        return any(view.sources and view.declared.is_seeded(view) for view in self.walk())

    @property
    def attack(self) -> View | None:
        """The last attack on the way to this view, or None; of a choice among defended views, that of theirs."""
        if not self.sources or self.kind == "attack":
            return self if self.sources else None
        if self.declared.kind != "choice":
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
        from robustcheck.notation.blindness import unseen

        return unseen(self) or ()

    @property
    def adaptive_twin(self) -> View | None:
        """This view with its attack going through the defences that it is blind to; None where it can't, or need not.

        >>> from robustcheck.notation import parse
        >>> parse("JPG_50(Adv_1)").adaptive_twin
        <view JPG_50(Adv_1[through=JPG_50])>
        """
        from robustcheck.notation.blindness import adaptive

        return adaptive(self)


X = View("x")


class Option(Protocol):
    """What an option's value may be; see `robustcheck.notation.values`."""

    @property
    def default(self) -> Any:
        """The value that holds where none is written; None for none."""

    def canonical(self, text: str) -> str:
        """Return the value's one spelling, or raise ValueError that says what is allowed."""


class Numeric(Option, Protocol):
    """An amount: as an option, and the number itself."""

    @property
    def name(self) -> str:
        """What the number is, such as epsilon."""

    @property
    def example(self) -> str:
        """One that is allowed."""

    def read(self, text: str) -> Amount:
        """Return the number, or raise ValueError that says what is allowed."""


def _never(view: View) -> bool:  # noqa: ARG001 - the signature of `Step.is_seeded`
    return False


def _nothing_wrong(view: View) -> None:  # noqa: ARG001 - the signature of `Step.check`
    return None


@dataclass(frozen=True)
class Step:
    """What may be written of a step: its amount, its options, how many views it takes."""

    name: str
    kind: Literal["attack", "defence", "noise", "choice"]
    """A choice takes several views, and of each image one of theirs."""
    summary: str
    amount: Numeric | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    needs: Callable[[View], Iterable[View]] = lambda view: view.sources
    """The views whose images it reads: those written in it, unless it needs more."""
    check: Callable[[View], tuple[str, str] | None] = _nothing_wrong
    """What is wrong with amount and options together: the option (or "" for the amount) and the words for it."""
    is_seeded: Callable[[View], bool] = _never
    """Whether a view of it, apart from what it is made from, is drawn at random."""
    gradient: Literal["own", "identity"] | None = None
    """Of a defence or noise that an attack can go through: its own gradient, or the identity in its place (BPDA)."""
    is_open: bool = False
    """Whether it takes any option, for a library that knows which it has."""
    function: Callable[..., Any] | None = None
    """Of a step that a repository registered, its function."""


STEPS: dict[str, Step] = {}
"""By name. Built-in ones are in `robustcheck.notation.steps`; a repository registers its own."""

FAMILIES: dict[str, Step] = {}
"""Steps of other libraries by prefix: `foolbox` stands for every `foolbox:NAME`; all options are the library's."""


def declared(name: str) -> Step | None:
    """Return what is declared of a step, or None."""
    return STEPS.get(name) or FAMILIES.get(name.partition(":")[0] if ":" in name else "")


def choice_of(step: str, views: Iterable[View]) -> View | None:
    """Return the choice among some views in its one form: flat, sorted, none twice; None for no views."""
    flat: dict[View, None] = {}
    for view in views:
        flat.update(dict.fromkeys(view.sources if view.step == step else (view,)))
    if len(flat) < 2:
        return next(iter(flat), None)
    return View(step, sources=tuple(sorted(flat, key=str)))
