"""The paper's notation: text such as `JPG(Adv_1)` to a frozen tree, and back. No torch here."""

from robustcheck.notation import steps as _builtin  # noqa: F401 - registers the steps that are built in
from robustcheck.notation.call import view_of_call
from robustcheck.notation.cursor import DEEPEST
from robustcheck.notation.options import Span
from robustcheck.notation.parser import NotationError, parse
from robustcheck.notation.registration import register_attack, register_defence
from robustcheck.notation.registry import STEPS, Step, add_steps, load, temporary_steps
from robustcheck.notation.tree import ThroughStep, View, X, choice_of

__all__ = [
    "DEEPEST",
    "STEPS",
    "NotationError",
    "Span",
    "Step",
    "ThroughStep",
    "View",
    "X",
    "add_steps",
    "choice_of",
    "load",
    "parse",
    "register_attack",
    "register_defence",
    "temporary_steps",
    "view_of_call",
]
