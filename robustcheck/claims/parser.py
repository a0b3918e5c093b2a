"""Claims as text: `accuracy(JPG(Adv_1)) >= 0.8 * accuracy(x)`.

    claim   = sum ( ">=" | ">" | "<=" | "<" ) sum
    sum     = product { ( "+" | "-" ) product }
    product = factor { ( "*" | "/" ) factor }
    factor  = { "+" | "-" } ( number [ "%" ] | measure "(" view ")" | "(" sum ")" )
    measure = "accuracy" | "top_probability" | "kept" | "recovery"

What is between a measure's parentheses is read by `robustcheck.notation`. Nothing is ever evaluated as Python.
"""

from __future__ import annotations

import math
import re
from difflib import get_close_matches

from robustcheck.claims.claim import RELATIONS, Claim, compare
from robustcheck.claims.expression import Expression, Linear, Quotient, mean, recovery, total
from robustcheck.claims.verdict import Relation
from robustcheck.errors import RobustcheckError
from robustcheck.notation import STEPS, NotationError, View, parse
from robustcheck.notation.cursor import Cursor
from robustcheck.records.measures import MEASURES

FUNCTIONS = (*MEASURES, "recovery")

_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r"[=!<>≤≥≠≈~]+")
_MEANT = {"=>": ">=", "≥": ">=", "=<": "<=", "≤": "<="}


class ClaimError(RobustcheckError):
    """A claim that can't be read, or can't be claimed; the message marks the column."""

    def __init__(self, text: str, at: int, problem: str) -> None:
        self.text: str = text
        self.problem: str = problem
        before = text[:at]
        self.line: int = before.count("\n") + 1
        self.column: int = at - (before.rfind("\n") + 1) + 1
        shown = text.split("\n")[self.line - 1]
        start = max(0, self.column - 51)
        shown = "".join(char if char.isprintable() else "?" for char in shown[start : self.column + 40])
        mark = " " * (self.column - 1 - start) + "^"
        super().__init__(f"{problem} (line {self.line}, column {self.column})\n    {shown}\n    {mark}")


def parse_claim(text: str) -> Claim:
    """Return the claim that a text makes.

    >>> parse_claim("recovery( JPG(Adv_1) ) >= 60%")
    <claim recovery(JPG(Adv_1)) >= 0.6>

    Raises `ClaimError` (a `ValueError`) with line and column where it can't be read, names what doesn't exist,
    is no weighted sum of means, or is true or false of every model.
    """
    if not isinstance(text, str):
        raise TypeError(f"a claim is written as text such as 'accuracy(x) >= 0.5', got {type(text).__name__}")
    return _Parser(text).claim()


class _Parser(Cursor):
    fault = ClaimError

    def claim(self) -> Claim:
        left = self.sum()
        at, relation = self.relation()
        right = self.sum()
        if _OPERATOR.match(self.text, self.at):
            raise self.error("a claim has one comparison: write two claims")
        if not self.is_at_end:
            raise self.unexpected("the end of the claim")
        try:
            return compare(left, relation, right)
        except RobustcheckError as error:
            raise self.error(str(error), at) from None

    def relation(self) -> tuple[int, Relation]:
        at, found = self.at, self.match(_OPERATOR)
        if not found:
            raise self.unexpected(f"a comparison ({', '.join(RELATIONS)})")
        for relation in RELATIONS:
            if found == relation:
                self.blank()
                return at, relation
        meant = _MEANT.get(found)
        question = f"did you mean {meant}?" if meant else "a mean is never just a number."
        raise self.error(f"{found!r} is no claim: {question} Allowed: {', '.join(RELATIONS)}", at)

    def sum(self) -> Expression:
        first = self.product()
        at, sign = self.at, self.take("+-")
        if not sign:
            return first
        parts = [self.linear(first, at)]
        while sign:
            part = self.linear(self.product(), at)
            parts.append(part if sign == "+" else -part)
            at, sign = self.at, self.take("+-")
        return total(parts)

    def product(self) -> Expression:
        value = self.factor()
        while True:
            at, sign = self.at, self.take("*/")
            if not sign:
                return value
            left, right = self.linear(value, at), self.linear(self.factor(), at)
            value = self.times(left, right, at) if sign == "*" else self.over(left, right, at)

    def linear(self, value: Expression, at: int) -> Linear:
        if isinstance(value, Quotient):
            raise self.error(f"{value} compares with a number; it is no part of a sum or product", at)
        return value

    def times(self, left: Linear, right: Linear, at: int) -> Linear:
        if left.weights and right.weights:
            raise self.error(f"a product of two estimates is no weighted sum: {left} times {right}", at)
        return left * right.constant if left.weights else right * left.constant

    def over(self, left: Linear, right: Linear, at: int) -> Linear:
        if right.weights:
            raise self.error(
                f"a quotient of estimates is no weighted sum: write {left} >= number * {right}, or use recovery",
                at,
            )
        if not right.constant:
            raise self.error("division by 0", at)
        return left * (1 / right.constant)

    def factor(self) -> Expression:
        self.blank()
        at, negative = self.at, False
        while sign := self.take("+-"):
            negative ^= sign == "-"
        value = self.atom()
        return -self.linear(value, at) if negative else value

    def atom(self) -> Expression:
        at = self.at
        if found := self.match(_NUMBER):
            number = float(found) / (100 if self.take("%") else 1)
            if not math.isfinite(number):
                raise self.error("too large a number", at)
            return Linear(constant=number)
        if found := self.match(_NAME):
            return self.measure(found, at)
        if self.take("("):
            self.nest("parentheses", at)
            value = self.sum()
            self.expect(")")
            self.depth -= 1
            return value
        raise self.unexpected(f"a number or one of {', '.join(FUNCTIONS)}")

    def measure(self, name: str, at: int) -> Expression:
        if name not in FUNCTIONS:
            raise self.error(_unknown(name), at)
        self.blank()
        if not self.text.startswith("(", self.at):
            raise self.unexpected(f"'(' and a view, as in {name}(JPG(Adv_1))")
        start = self.at + 1
        view = self.view(start, self.closing(self.at))
        self.blank()
        if name != "recovery":
            return mean(name, view)
        try:
            return recovery(view)
        except RobustcheckError as error:
            raise self.error(str(error), start) from None

    def closing(self, opened: int) -> int:
        """Return where the parenthesis opened here is closed."""
        depth = 0
        for at in range(opened, len(self.text)):
            depth += {"(": 1, ")": -1}.get(self.text[at], 0)
            if not depth:
                return at
        raise self.error("'(' is never closed", opened)

    def view(self, start: int, end: int) -> View:
        self.at = end + 1
        try:
            return parse(self.text[start:end])
        except NotationError as error:
            raise self.error(error.problem, start + error.column) from None


def _unknown(name: str) -> str:
    allowed = ", ".join(FUNCTIONS)
    if name == "x" or name.split("_", maxsplit=1)[0] in STEPS:
        return f"{name!r} is a view: say what is measured on it, as in accuracy({name}). Allowed: {allowed}"
    near = get_close_matches(name, FUNCTIONS, n=1, cutoff=0.5)
    question = f"did you mean {near[0]}? " if near else ""
    return f"unknown measure {name!r}: {question}Allowed: {allowed}"
