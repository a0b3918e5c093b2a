"""From text to tree.

    view   = "x" | step [ "(" view { ";" view } ")" ]        a bare step means step(x)
    step   = name [ "_" number [ ".." number ] ] [ "[" key "=" value { "," key "=" value } "]" ]

Two texts that mean the same view parse to equal trees: defaults are left out and options are sorted, so
`JPG_75(x)` is `JPG`. What a step's amount and options may be is declared by the registry's `Step`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from robustcheck.errors import RobustcheckError
from robustcheck.notation.cursor import Cursor
from robustcheck.notation.options import Amount, Option, Text
from robustcheck.notation.registry import STEPS, Step, find_step
from robustcheck.notation.tree import IDENTITY, ThroughStep, View, X, choice_of

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?::[A-Za-z0-9]+)*(?:_[A-Za-z][A-Za-z0-9]*)*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:\.\.[0-9]+(?:\.[0-9]+)?)?")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*")
_VALUE = re.compile(r"(?:[^,;()\[\]\s]|\[[^\[\]]*\])+")


class NotationError(RobustcheckError):
    """A view that can't be read; the message shows the text with a mark under the column."""

    def __init__(self, text: str, column: int, problem: str) -> None:
        self.text: str = text
        self.column: int = column
        self.problem: str = problem
        start = max(0, column - 50)
        shown = "".join(char if char.isprintable() else "?" for char in text[start : column + 20])
        super().__init__(f"{problem} (column {column + 1})\n    {shown}\n    {' ' * (column - start)}^")


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


class _Parser(Cursor):
    fault = NotationError

    def whole(self) -> View:
        view = self.view()
        if not self.is_at_end:
            raise self.unexpected("the end of the view")
        return view

    def required(self, pattern: re.Pattern[str], what: str) -> str:
        if not (found := self.match(pattern)):
            raise self.unexpected(what)
        return found

    def view(self) -> View:
        self.blank()
        start = self.at
        name = self.required(_NAME, f"a view ({_allowed_steps()})")
        if name == "x":
            self.blank()
            return X
        step = find_step(name)
        if step is None:
            raise self.error(_unknown(name), start)
        self.nest("steps", start)
        columns = {"": self.at + 1}
        amount = self.amount(step, name)
        options = self.options(step, columns) if self.take("[") else ()
        sources = self.sources(step) if self.take("(") else (X,)
        self.depth -= 1
        return self.checked(View(name, amount, options, sources), columns)

    def checked(self, view: View, columns: dict[str, int]) -> View:
        step = view.declared
        if drawn := [source for source in view.sources if source.draws]:
            raise self.error(
                f"draws is an option of a view's last step, got {drawn[0].alone} inside {view.head}: write "
                f"{view.head}[draws={drawn[0].options.draws}]({drawn[0].undrawn})"
                if "draws" in step.options
                else f"draws is an option of a view's last step, got {drawn[0].alone} inside {view.head}"
            )
        if step.kind == "selection":
            if view.sources == (X,):
                raise self.error(f"{step.name} chooses among views: write {step.name}(Adv_1; PGD_1)")
            return choice_of(view.step, view.sources) or view
        if problem := step.check(view):
            where, words = problem
            raise self.error(words, columns.get(where, columns[""]))
        return view

    def amount(self, step: Step, name: str) -> Amount | None:
        if not self.text.startswith("_", self.at):
            if step.amount is not None and step.amount.default is None:
                example = f"{name}_{step.amount.example}"
                raise self.error(f"{name} needs its {step.amount.name}, as in {example}")
            return None
        if step.amount is None:
            raise self.error(f"{name} takes no amount")
        self.at += 1
        start = self.at
        number = self.required(_NUMBER, f"{step.amount.name} as a number")
        try:
            amount = step.amount.parse(number)
        except ValueError as error:
            raise self.error(str(error), start) from None
        return None if amount == step.amount.default else amount

    def options(self, step: Step, columns: dict[str, int]) -> tuple[tuple[str, str], ...]:
        options: dict[str, str | None] = {}
        while True:
            start = self.at
            key = self.required(_KEY, "an option's name")
            option = self.option(step, key, start)
            if key in options:
                raise self.error(f"option {key!r} is given twice", start)
            self.expect("=")
            start = columns[key] = self.at
            value = self.required(_VALUE, f"a value for {key}")
            try:
                parsed = option.parse(value)
            except NotationError as error:
                raise self.error(error.problem, start + error.column) from None
            except ValueError as error:
                raise self.error(str(error), start) from None
            options[key] = None if parsed == option.default else option.text(parsed)
            if not self.take(","):
                break
        self.expect("]")
        return tuple(sorted((key, value) for key, value in options.items() if value is not None))

    def option(self, step: Step, key: str, start: int) -> Option:
        if key in step.options or step.is_open:
            return step.options.get(key) or Text(key)
        near = get_close_matches(key, step.options, n=1)
        question = f": did you mean {near[0]}?" if near else ";"
        allowed = ", ".join(sorted(step.options)) or "none"
        raise self.error(f"{step.name} has no option {key!r}{question} allowed: {allowed}", start)

    def sources(self, step: Step) -> tuple[View, ...]:
        views = [self.view()]
        while step.kind == "selection" and self.take(";"):
            views.append(self.view())
        self.expect(")")
        return tuple(views)


@dataclass(frozen=True)
class Through(Option):
    """The option `through`: defences that an attack's gradient goes through, in their order, joined by `+`.

    A defence followed by `:identity` is passed backward as if it were not there (BPDA; Athalye, Carlini, Wagner 2018),
    which is the only way through one without a gradient of its own.
    """

    name: str
    default: tuple[ThroughStep, ...] = ()

    def parse(self, text: str) -> tuple[ThroughStep, ...]:
        """Return the defences, or raise ValueError that says what is allowed."""
        steps, start = [], 0
        for part in text.split("+"):
            steps.append(self._step(part, start))
            start += len(part) + 1
        return tuple(steps)

    def text(self, value: Iterable[ThroughStep]) -> str:
        """Return the defences' one spelling."""
        return "+".join(map(str, value))

    def _step(self, text: str, start: int) -> ThroughStep:
        written = text.removesuffix(IDENTITY)
        try:
            view = parse(written)
        except NotationError as error:
            raise NotationError(error.text, start + error.column, error.problem) from None
        gradients = () if view == X or view.sources != (X,) else view.declared.gradients
        if not gradients:
            raise ValueError(
                f"{self.name} is what stands between attack and model, such as JPG, JPG_50, JPG:identity or "
                f"JPG+Noise_2, got {text}"
            )
        if view.draws:
            raise ValueError(
                f"{self.name} takes a defence without draws, got {text}: eot=K averages a gradient over draws"
            )
        asks_identity = text != written and "identity" in gradients
        return ThroughStep(view, "identity" if asks_identity else gradients[0])


def _unknown(name: str) -> str:
    near = get_close_matches(name[:200], STEPS, n=1, cutoff=0.5)
    question = f": did you mean {near[0]}?" if near else ";"
    shown = name if len(name) <= 80 else f"{name[:80]}..."
    return f"unknown step {shown!r}{question} Allowed: {_allowed_steps()}"


def _allowed_steps() -> str:
    return ", ".join(["x", *sorted(step.name for step in STEPS.values())])
