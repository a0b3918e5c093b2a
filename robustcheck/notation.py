"""The paper's notation: text such as `JPG(Adv_1)` to a frozen tree, and back.

    view   = "x" | step [ "(" view { ";" view } ")" ]        a bare step means step(x)
    step   = name [ "_" number ] [ "[" key "=" value { "," key "=" value } "]" ]

Two texts that mean the same view parse to equal trees: defaults are left out and options are sorted, so
`JPG_75(x)` is `JPG`. What a step's amount and options may be is declared here, by a `Step` in `STEPS`;
what it does to images is declared beside the images, in `robustcheck.evaluation.steps`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Literal

from robustcheck.errors import RobustcheckError

DEEPEST = 50
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?::[A-Za-z0-9]+)*(?:_[A-Za-z][A-Za-z0-9]*)*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_VALUE = re.compile(r"[^,;()\[\]\s]+")

Amount = int | float


class NotationError(RobustcheckError):
    """A view that can't be read; the message shows the text with a mark under the column."""

    def __init__(self, text: str, column: int, problem: str) -> None:
        self.text, self.column, self.problem = text, column, problem
        start = max(0, column - 50)
        shown = "".join(char if char.isprintable() else "?" for char in text[start : column + 20])
        super().__init__(f"{problem} (column {column + 1})\n    {shown}\n    {' ' * (column - start)}^")


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
        text = self.head
        if self.options:
            text += "[" + ",".join(f"{key}={value}" for key, value in self.options) + "]"
        if self.sources and self.sources != (X,):
            text += "(" + "; ".join(map(str, self.sources)) + ")"
        return text

    def __repr__(self) -> str:
        return f"<view {self}>"

    @property
    def head(self) -> str:
        """The step with its amount alone, such as `Adv_1`."""
        return self.step if self.amount is None else f"{self.step}_{self.amount}"

    @property
    def slug(self) -> str:
        """The view as pytest's `-k` can select it: letters, digits, `_`, `.` and `-`.

        >>> parse("JPG_50(Adv_1)").slug
        'JPG_50-Adv_1'
        """
        return re.sub(r"[^\w.]+", "-", str(self)).strip("-")

    @property
    def kind(self) -> Literal["clean", "attack", "defence", "noise"]:
        """What the last step is for."""
        return STEPS[self.step].kind if self.sources else "clean"

    @property
    def source(self) -> View:
        """The view that this step is applied to."""
        return self.sources[0]

    @property
    def number(self) -> Amount:
        """The step's amount, or its default; 0 for a step that has none."""
        if self.amount is not None:
            return self.amount
        declared = STEPS[self.step].amount
        return (declared and declared.default) or 0

    def option(self, name: str) -> str | None:
        """The text of an option, or its default, if there is one."""
        declared = STEPS[self.step].options.get(name)
        default = None if declared is None or declared.default is None else str(declared.default)
        return dict(self.options).get(name, default)

    def walk(self) -> Iterator[View]:
        """Every view inside this one, each before those made from it; the last is this one."""
        for source in self.sources:
            yield from source.walk()
        yield self

    @property
    def is_seeded(self) -> bool:
        """Whether it is drawn at random, by seeds."""
        return any(view.kind == "noise" for view in self.walk())

    @property
    def attack(self) -> View | None:
        """The last attack on the way to this view, or None."""
        attacks = [view for view in self.walk() if view.kind == "attack"]
        return attacks[-1] if attacks else None

    @property
    def blind_to(self) -> tuple[str, ...]:
        """The defences that stand after an attack whose gradient did not go through them.

        A claim measured on such a view says little about an attacker who knows of the defence.

        >>> parse("JPG(Adv_1)").blind_to, parse("JPG(Adv_1[through=JPG])").blind_to
        (('JPG',), ())
        """
        defences: list[str] = []
        view = self
        while view.sources:
            if view.kind == "defence":
                defences.append(view.head)
            elif view.kind == "attack":
                return tuple(name for name in defences if name != view.option("through"))
            view = view.source
        return ()

    @property
    def adaptive_twin(self) -> View | None:
        """This view with its attack going through the first defence that it meets; None where it has none.

        >>> parse("JPG_50(Adv_1)").adaptive_twin
        <view JPG_50(Adv_1[through=JPG_50])>
        """
        if not self.sources or self.kind == "attack":
            return None
        source = self.source
        if self.kind == "defence" and source.kind == "attack" and "through" in STEPS[source.step].options:
            options = dict(source.options) | {"through": self.head}
            return replace(self, sources=(replace(source, options=tuple(sorted(options.items()))),))
        inner = source.adaptive_twin
        return inner and replace(self, sources=(inner,))


X = View("x")


@dataclass(frozen=True)
class Number:
    """A number from low to high, both allowed, as a step's amount or an option's value."""

    name: str
    low: Amount
    high: Amount
    default: Amount | None = None
    integer: bool = False
    because: str = ""

    def read(self, text: str) -> Amount:
        """Return the number, or raise ValueError that says what is allowed."""
        number = float(text) if _NUMBER.fullmatch(text) else None
        if number is None or not self.low <= number <= self.high or (self.integer and number % 1):
            kind = "a whole number" if self.integer else "a number"
            because = f": {self.because}" if self.because else ""
            raise ValueError(f"{self.name} is {kind} from {self.low} to {self.high}, got {text}{because}")
        return int(number) if number.is_integer() else number

    def canonical(self, text: str) -> str:
        """Return the value's one spelling."""
        return str(self.read(text))


@dataclass(frozen=True)
class Choice:
    """One of several words."""

    name: str
    words: tuple[str, ...]
    default: str | None = None

    def canonical(self, text: str) -> str:
        """Return the value's one spelling, or raise ValueError that says what is allowed."""
        if text not in self.words:
            raise ValueError(f"{self.name} is one of {', '.join(self.words)}, got {text}")
        return text


@dataclass(frozen=True)
class Defence:
    """A defence that an attack's gradient goes through, such as `JPG_50`."""

    name: str
    default: str | None = None

    def canonical(self, text: str) -> str:
        """Return the defence's one spelling, or raise ValueError that says what is allowed."""
        view = parse(text)
        if view.step != "JPG" or view.sources != (X,):
            raise ValueError(f"{self.name} is a defence with a gradient, JPG or JPG_1 to JPG_100, got {text}")
        return str(view)


@dataclass(frozen=True)
class Step:
    """What may be written of a step: its amount, its options, how many views it takes."""

    name: str
    kind: Literal["attack", "defence", "noise"]
    summary: str
    amount: Number | None = None
    options: Mapping[str, Number | Choice | Defence] = field(default_factory=dict)
    needs: Callable[[View], Iterable[View]] = lambda view: view.sources
    """The views whose images it reads: those written in it, unless it needs more."""


_EPSILON = Number(
    "epsilon",
    1,
    255,
    integer=True,
    because="in pixel levels of 0..255; a view is 8 bits deep, and rounding would erase or change anything else",
)
_QUALITY = Number("quality", 1, 100, default=75, integer=True)

STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step(
            "Adv",
            "attack",
            "fast gradient sign",
            _EPSILON,
            {"label": Choice("label", ("top", "true"), default="top"), "through": Defence("through")},
        ),
        Step("JPG", "defence", "JPEG recompression", _QUALITY),
        Step(
            "JPG_noise",
            "noise",
            "the change that JPEG makes, its entries permuted",
            _QUALITY,
            needs=lambda view: (view.source, View("JPG", view.amount, (), view.sources)),
        ),
        Step("Noise", "noise", "random signs", _EPSILON),
    )
}


def parse(text: str | View) -> View:
    """Return the view that a text means; a `View` is returned as it is.

    >>> str(parse("JPG_75( Adv_5[label=top] (x) )"))
    'JPG(Adv_5)'

    Raises `NotationError` (a `ValueError`) that points at the column and names what is allowed.
    """
    if isinstance(text, View):
        return text
    if not isinstance(text, str):
        raise TypeError(f"a view is written as text such as 'JPG(Adv_1)', got {type(text).__name__}")
    return _Parser(text).whole()


class _Parser:
    """One pass from left to right; `at` is the column of what comes next."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0

    def whole(self) -> View:
        view = self.view()
        if self.at < len(self.text):
            raise self.error(f"expected the end of the view, got {self.text[self.at]!r}")
        return view

    def error(self, problem: str, column: int | None = None) -> NotationError:
        return NotationError(self.text, self.at if column is None else column, problem)

    def blank(self) -> None:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def take(self, mark: str) -> bool:
        self.blank()
        found = self.text.startswith(mark, self.at)
        if found:
            self.at += len(mark)
            self.blank()
        return found

    def expect(self, mark: str) -> None:
        if not self.take(mark):
            got = repr(self.text[self.at]) if self.at < len(self.text) else "the end"
            raise self.error(f"expected {mark!r}, got {got}")

    def match(self, pattern: re.Pattern[str], what: str) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            got = repr(self.text[self.at]) if self.at < len(self.text) else "the end"
            raise self.error(f"expected {what}, got {got}")
        self.at = found.end()
        return found.group()

    def view(self) -> View:
        self.blank()
        start = self.at
        name = self.match(_NAME, f"a view ({_allowed_steps()})")
        if name == "x":
            self.blank()
            return X
        if name not in STEPS:
            near = get_close_matches(name, STEPS, n=1, cutoff=0.5)
            question = f": did you mean {near[0]}?" if near else ";"
            raise self.error(f"unknown step {name!r}{question} Allowed: {_allowed_steps()}", start)
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(f"more than {DEEPEST} steps inside one another", start)
        step = STEPS[name]
        amount = self.amount(step)
        options = self.options(step) if self.take("[") else ()
        sources = self.sources() if self.take("(") else (X,)
        self.depth -= 1
        return View(name, amount, options, sources)

    def amount(self, step: Step) -> Amount | None:
        if not self.text.startswith("_", self.at):
            if step.amount is not None and step.amount.default is None:
                example = f"{step.name}_{max(1, int(step.amount.low))}"
                raise self.error(f"{step.name} needs its {step.amount.name}, as in {example}")
            return None
        if step.amount is None:
            raise self.error(f"{step.name} takes no amount")
        self.at += 1
        start = self.at
        number = self.match(_NUMBER, f"{step.amount.name} as a number")
        try:
            amount = step.amount.read(number)
        except ValueError as error:
            raise self.error(str(error), start) from None
        return None if amount == step.amount.default else amount

    def options(self, step: Step) -> tuple[tuple[str, str], ...]:
        options: dict[str, str] = {}
        while True:
            start = self.at
            key = self.match(_NAME, "an option's name")
            if key not in step.options:
                allowed = ", ".join(sorted(step.options)) or "none"
                raise self.error(f"{step.name} has no option {key!r}; allowed: {allowed}", start)
            if key in options:
                raise self.error(f"option {key!r} is given twice", start)
            self.expect("=")
            start = self.at
            value = self.match(_VALUE, f"a value for {key}")
            try:
                options[key] = step.options[key].canonical(value)
            except NotationError as error:
                raise self.error(error.problem, start + error.column) from None
            except ValueError as error:
                raise self.error(str(error), start) from None
            if not self.take(","):
                break
        self.expect("]")
        defaults = {key: str(option.default) for key, option in step.options.items()}
        return tuple(sorted((key, value) for key, value in options.items() if value != defaults[key]))

    def sources(self) -> tuple[View, ...]:
        view = self.view()
        self.expect(")")
        return (view,)


def _allowed_steps() -> str:
    return ", ".join(["x", *sorted(STEPS)])
