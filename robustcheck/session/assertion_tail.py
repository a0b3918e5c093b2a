"""The claims of an assertion that were not evaluated, since an earlier part of it failed: `D` of `assert C and D`."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import FrameType

from robustcheck.session.statement import (
    Position,
    Requirement,
    assertion_of,
    claims_in,
    place_of,
    source_of,
    variable,
)

_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True)
class Unevaluated:
    """A part of an assertion behind the one that failed."""

    text: str
    """Its source."""
    place: Position
    holds: bool
    """Whether it is to hold: not under `not`."""
    verdict: object = None
    """What was compared before, if that is held by a variable."""


def parts_behind(failed: Requirement, frame: FrameType, known: Collection[Position]) -> Iterator[Unevaluated]:
    """Yield the claims of an assertion behind the one that failed, in the frame that it failed in.

    `known` are the places of those that were evaluated. Of what was not, the names tell whether it is about robustness.
    """
    assertion = assertion_of(failed, frame)
    if assertion is None:
        return
    end = failed.part[1], failed.part[3]
    for node, holds in claims_in(assertion.test):
        place = place_of(node)
        if (place[0], place[2]) < end or place in known:
            continue
        value = variable(node, frame)
        if _is_verdict(value):
            yield Unevaluated(ast.unparse(node), place, holds, value)
        elif any(_compares_ours(each, frame) for each in ast.walk(node)):
            for single in _comparisons(node):
                yield Unevaluated(source_of(single, holds), place, holds)


def _comparisons(node: ast.expr) -> Iterator[ast.expr]:
    """Yield each comparison of a chain such as `0.2 <= C <= 0.4`, a claim each, or another expression as it is."""
    if not isinstance(node, ast.Compare):
        yield node
        return
    for left, operator, right in zip(
        [node.left, *node.comparators], node.ops, node.comparators, strict=False
    ):
        yield ast.copy_location(ast.Compare(left, [operator], [right]), node)


def _compares_ours(node: ast.AST, frame: FrameType) -> bool:
    """Whether a comparison, or the truth of a variable, would have been a verdict."""
    if not isinstance(node, ast.Compare) or not any(isinstance(each, _ORDERS) for each in node.ops):
        return False
    return any(_is_ours(variable(each, frame)) for each in ast.walk(node))


def _is_ours(value: object) -> bool:
    """Whether a value is ours, or holds one that is."""
    items = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    )
    return any(type(item).__module__.startswith("robustcheck.") for item in items)


def _is_verdict(value: object) -> bool:
    return type(value).__name__ == "Verdict" and _is_ours(value)
