"""Functions of views with one fault each, as scripts around views have them: what `strategies.views` is to find."""

from __future__ import annotations

import re

from robustcheck.notation import X, parse
from robustcheck.notation.options import Span
from tests.strategies.mutants import Mutant


def names(view):
    return [part.step for part in view.walk() if part != X]


def split(text):
    """Steps by parentheses: lost at `Worst(A; B)`."""
    return [
        re.match(r"[A-Za-z]+(?:_[a-z]+)?", part)[0]
        for part in reversed(text.rstrip(")").split("("))
        if part != "x"
    ]


def chain(view):
    while view.sources:
        yield view
        view = view.source


def amounts(view):
    return [part.amount for part in view.walk() if part.amount is not None]


def written(view):
    return [pair for part in view.walk() for pair in part.written]


def same(view):
    return view


MUTANTS = tuple(
    Mutant(name, right, wrong)
    for name, right, wrong in [
        ("x has no source", lambda v: v.sources[:1], lambda v: (v.source,)),
        ("a choice has more sources than the first", names, lambda v: [part.step for part in chain(v)][::-1]),
        ("parentheses are split", names, lambda v: split(str(v))),
        ("names may have an underscore", names, lambda v: [str(p).partition("_")[0] for p in v.walk() if p != X]),
        ("two digits", amounts, lambda v: [a for a in amounts(v) if len(str(a)) < 3]),
        ("amounts are integers", amounts, lambda v: [int(str(a)) for a in amounts(v)]),
        ("amounts have defaults", lambda v: [p.amount for p in v.walk()], lambda v: [p.amount or 75 for p in v.walk()]),
        ("the last step's options only", written, lambda v: list(v.written)),
        ("options are lost", same, lambda v: parse(re.sub(r"\[.*?\]", "", str(v)))),
        ("one option at most", written, lambda v: [p.written[0] for p in v.walk() if p.written]),
        ("options are words", written, lambda v: [(k, t) for k, t in written(v) if t.isalpha()]),
        ("options are whole numbers or words", written, lambda v: [(k, t) for k, t in written(v) if "." not in t]),
        ("one defence on the way", lambda v: v.through, lambda v: v.through[:1]),
        ("identity is lost", same, lambda v: parse(str(v).replace(":identity", ""))),
        ("one step", names, lambda v: names(v)[:1]),
        ("two steps", names, lambda v: names(v)[:2]),
        ("inner step first", names, lambda v: names(v)[::-1]),
        ("every attack is FGS", lambda v: v.attack is not None, lambda v: "Adv" in str(v)),
        ("attacks come last", lambda v: v.attack is not None, lambda v: v.kind == "attack"),
        ("a defence after an attack is unknown to it", lambda v: bool(v.blind_to), lambda v: v.kind == "defence" and v.attack is not None),
        ("only noise is random", lambda v: v.is_seeded, lambda v: "oise" in str(v)),
        ("ranges are not random", lambda v: any(isinstance(p.amount, Span) for p in v.walk()), lambda _: False),
        ("file names are short", str, lambda v: str(v)[:30]),
        ("steps are not repeated", names, lambda v: list(dict.fromkeys(names(v)))),
    ]
)  # fmt: skip
