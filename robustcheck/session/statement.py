"""The statement in which a comparison stands: whether it requires the comparison to hold, by its syntax alone.

What an assertion requires is a claim: `assert C`, each part of `assert C and D`, and the contrary in `assert not C`.
Of `assert C or D` the claim is the whole. All else, such as `if C:` or `max(C, D)`, only compares: so the number of
claims does not depend on what was measured.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise
from types import FrameType

Position = tuple[int, int, int, int]
"""First line, last line, first column, column behind the last, as code objects have them."""

_COMPREHENSIONS = (ast.GeneratorExp, ast.ListComp, ast.SetComp)
_DISPLAYS = (*_COMPREHENSIONS, ast.List, ast.Tuple, ast.Set)
_CATCHING = {"raises", "suppress", "assertRaises", "assertRaisesRegex"}
_CAUGHT = {"AssertionError", "ClaimFailed", "Exception", "BaseException"}


@dataclass(frozen=True)
class Requirement:
    """What an assertion requires of a comparison in it."""

    file: str
    lines: range
    """Those of the assertion."""
    holds: bool = True
    """Whether the comparison is to hold: not under `not`."""
    whole: str = ""
    """The source text of the alternatives, such as `C or D`, that the comparison is one of."""
    whole_at: Position | None = None
    repeats: bool = False
    """The comparison is made by a comprehension, several times."""


@dataclass(frozen=True)
class Comparison:
    """A place in a user's code at which something of ours is being compared, or asked for its truth."""

    requirement: Requirement | None
    """None where it is only compared."""
    is_operator: bool
    """It is a comparison that is written there, not one that a function such as `max` makes."""


def comparison_at(frame: FrameType) -> Comparison:
    """Return what is being compared at the line that a frame runs; without a source it is only compared."""
    file = frame.f_code.co_filename
    tree = _tree("".join(linecache.getlines(file, frame.f_globals)))
    position = _position(frame)
    if tree is None or position is None:
        return Comparison(None, is_operator=False)
    path = _path(tree, position)
    at = next((at for at in range(len(path) - 1, -1, -1) if isinstance(path[at], ast.stmt)), 0)
    requirement = None
    if isinstance(path[at], ast.Assert) and not _is_caught(path[: at + 1]):
        requirement = _required(path[at:], file)
    return Comparison(requirement, isinstance(path[-1], ast.Compare))


@lru_cache(maxsize=64)
def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(source) if source else None
    except (SyntaxError, ValueError, RecursionError):
        return None


def _position(frame: FrameType) -> Position | None:
    """Return the place of what a frame runs; the line alone where Python runs without columns."""
    found = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
    first, last, start, end = found
    if first is None or last is None:
        return None
    return first, last, -1 if start is None else start, -1 if end is None else end


def _path(tree: ast.Module, position: Position) -> list[ast.AST]:
    """Return the nodes around a place, from the module to the innermost."""
    path: list[ast.AST] = [tree]
    while inner := next((node for node in _children(path[-1]) if _encloses(node, position)), None):
        path.append(inner)
    return path


def _children(node: ast.AST) -> Iterator[ast.expr | ast.stmt | ast.excepthandler]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr | ast.stmt | ast.excepthandler):
            yield child
        else:
            yield from _children(child)


def _encloses(node: ast.expr | ast.stmt | ast.excepthandler, position: Position) -> bool:
    first, last, start, end = position
    if start < 0 or end < 0:  # lines alone: statements
        return isinstance(node, ast.stmt) and node.lineno <= first and last <= (node.end_lineno or 0)
    inner, outer = _range(node)
    return inner <= (first, start) and (last, end) <= outer


def _range(node: ast.expr | ast.stmt | ast.excepthandler) -> tuple[tuple[int, int], tuple[int, int]]:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def _is_caught(path: list[ast.AST]) -> bool:
    """Whether the failure of an assertion, the last of the path, is expected by a statement around it."""
    for around, inner in pairwise(path):
        if isinstance(around, ast.With | ast.AsyncWith):
            managers = (item.context_expr for item in around.items)
            if any(_name(each.func) in _CATCHING for each in managers if isinstance(each, ast.Call)):
                return True
        if isinstance(around, ast.Try) and inner in around.body and any(map(_catches, around.handlers)):
            return True
    return False


def _catches(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches a failed assertion, and raises nothing itself."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    caught = any(kind is None or _name(kind) in _CAUGHT for kind in kinds)
    return caught and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _required(path: list[ast.AST], file: str) -> Requirement | None:
    """Return what an assertion, first of the path, requires of the last; None if nothing."""
    statement = path[0]
    assert isinstance(statement, ast.Assert)  # noqa: S101 - by its caller
    if len(path) > 1 and path[1] is not statement.test:
        return None  # the message
    nodes = path[1:] or [statement.test]
    signs: set[bool] = set()
    alternatives: list[tuple[ast.expr, bool]] = []
    expressions = [node for node in nodes if isinstance(node, ast.expr)]
    if len(expressions) < len(nodes) or not _descend(expressions, True, signs, alternatives):
        return None
    lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    repeats = any(isinstance(node, _COMPREHENSIONS) for node in nodes)
    if not alternatives and len(signs) == 1:
        return Requirement(file, lines, holds=signs.pop(), repeats=repeats)
    whole, sign = alternatives[0] if alternatives else (statement.test, True)
    text = ast.unparse(whole) if sign else f"not ({ast.unparse(whole)})"
    first, last = _range(whole)
    at = (first[0], last[0], first[1], last[1])
    return Requirement(file, lines, whole=text, whole_at=at, repeats=repeats)


def _descend(
    nodes: list[ast.expr], sign: bool, signs: set[bool], alternatives: list[tuple[ast.expr, bool]]
) -> bool:
    """Follow the nodes from what is asserted to a comparison; return whether the assertion says anything of it.

    Where the nodes end above the comparison, all that the last one combines is followed. `signs` takes whether what
    is compared is to hold, `alternatives` the outermost node of which only a part needs to.
    """
    node, rest = nodes[0], nodes[1:]
    found = _operands(node, sign)
    if found is None:
        return False
    operands, is_choice = found
    if is_choice:
        alternatives.append((node, sign))
    if rest and isinstance(rest[0], _DISPLAYS) and isinstance(node, ast.Call):
        rest = rest[1:]
    if rest and not any(rest[0] is operand for operand in operands):
        return False
    sign ^= isinstance(node, ast.UnaryOp)
    ways = [rest] if rest else [[operand] for operand in operands]
    if not ways:
        signs.add(sign)
    return all(_descend(way, sign, signs, alternatives) for way in ways)


def _operands(node: ast.expr, sign: bool) -> tuple[list[ast.expr], bool] | None:
    """Return what the truth of an expression depends on, and whether a part of it suffices; None where that is open."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return [operand], False
        case ast.BoolOp(op=op, values=values):
            return values, isinstance(op, ast.And) != sign
        case ast.NamedExpr(value=operand) | ast.Call(func=ast.Name(id="bool"), args=[operand], keywords=[]):
            return [operand], False
        case ast.Call(func=ast.Name(id="all" | "any" as name), args=[items], keywords=[]):
            return _items(items), (name == "all") != sign
        case ast.IfExp():
            return None
    return [], isinstance(node, ast.Compare) and len(node.ops) > 1 and not sign


def _items(node: ast.expr) -> list[ast.expr]:
    """Return the expressions that make the items of a display or a comprehension, or a variable of items."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return node.elts
    return [node.elt] if isinstance(node, _COMPREHENSIONS) else [node]
