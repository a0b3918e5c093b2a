"""The paper's notation: text such as `JPG(Adv_1)` to a frozen tree, and back. No torch here."""

from robustcheck.notation import steps as _builtin  # noqa: F401 - declares the steps that are built in
from robustcheck.notation.parser import DEEPEST, NotationError, parse
from robustcheck.notation.registration import register_attack, register_defence
from robustcheck.notation.tree import FAMILIES, STEPS, Span, Step, View, X, choice_of, declared
from robustcheck.notation.values import Choice, Number, Target, Text, Through, passages

__all__ = [
    "DEEPEST",
    "FAMILIES",
    "STEPS",
    "Choice",
    "NotationError",
    "Number",
    "Span",
    "Step",
    "Target",
    "Text",
    "Through",
    "View",
    "X",
    "choice_of",
    "declared",
    "parse",
    "passages",
    "register_attack",
    "register_defence",
]
