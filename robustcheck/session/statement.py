"""The statement in which a comparison stands: whether it requires the comparison to hold, by its syntax alone.

What an assertion requires is a claim: `assert C`, each part of `assert C and D`, and the contrary in `assert not C`.
Where only some of the comparisons are made, depending on what was measured, the claim is the whole: `assert C or D`,
`assert all(C for ...)`, `assert C if condition else D`. All else, such as `if C:` or `max(C, D)`, only compares: so the
number of claims does not depend on what was measured.
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
_LITERALS = (ast.List, ast.Tuple, ast.Set)
_CATCHING = {"raises", "suppress", "assertRaises", "assertRaisesRegex"}
_CAUGHT = {"AssertionError", "ClaimFailed", "Exception", "BaseException"}


@dataclass(frozen=True)
class Requirement:
    """What an assertion requires of a comparison in it."""

    file: str
    lines: range
    """Those of the assertion."""
    part: Position
    """Where the claim stands: the whole test of the assertion, or a part of `C and D`."""
    holds: bool | None = True
    """Whether the comparison is to hold: not under `not`; None where that can't be told."""
    whole: str = ""
    """The source text of the claim, such as `C or D`, if the comparison is one of several that it is made of."""
    repeats: bool = False
    """The claim makes the comparison any number of times, as a comprehension does."""
    bound: frozenset[str] = frozenset()
    """The names that the assertion itself assigns."""


@dataclass(frozen=True)
class Comparison:
    """A place in a user's code at which something of ours is being compared, or asked for its truth."""

    requirement: Requirement | None
    """None where it is only compared."""
    is_operator: bool
    """It is a comparison that is written there, not one that a function such as `max` makes."""


def comparison_at(frame: FrameType, value: object = None) -> Comparison:
    """Return what is being compared at the line that a frame runs; without a source it is only compared.

    `value` is what is asked for its truth, if that: a variable of the statement may hold it.
    """
    file = frame.f_code.co_filename
    tree = _tree("".join(linecache.getlines(file, frame.f_globals)))
    position = _position(frame)
    if tree is None or position is None:
        return Comparison(None, is_operator=False)
    path = _path(tree, position)
    at = next((at for at in range(len(path) - 1, -1, -1) if isinstance(path[at], ast.stmt)), 0)
    statement, requirement = path[at], None
    if isinstance(statement, ast.Assert) and not _is_caught(path[: at + 1]):
        if (asked := _asked_in(path[-1], frame, value)) is not None:
            path = _path(tree, place_of(asked))
        requirement = _required(statement, path[at + 1 :], file)
    return Comparison(requirement, isinstance(path[-1], ast.Compare))


def assertion_of(requirement: Requirement, frame: FrameType) -> ast.Assert | None:
    """Return the assertion that a requirement is of, in a frame that runs it."""
    tree = _tree("".join(linecache.getlines(requirement.file, frame.f_globals)))
    path = [] if tree is None else _path(tree, requirement.part)
    return next((node for node in path if isinstance(node, ast.Assert)), None)


def variable(node: ast.AST, frame: FrameType) -> object:
    """Return what a variable, or an attribute of one, holds in a frame; None if it is neither."""
    match node:
        case ast.Name(id=name):
            return frame.f_locals.get(name, frame.f_globals.get(name))
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            owner = frame.f_locals.get(name, frame.f_globals.get(name))
            return getattr(owner, "__dict__", {}).get(attribute)
    return None


def _asked_in(node: ast.AST, frame: FrameType, value: object) -> ast.expr | None:
    """Return which part of a statement is asked for its truth, where Python gives the place of the whole only."""
    test = node.test if isinstance(node, ast.Assert) else node
    if value is None or not isinstance(test, ast.expr):
        return None
    held = (each for each in ast.walk(test) if isinstance(each, ast.Name | ast.Attribute))
    if (found := next((each for each in held if variable(each, frame) is value), None)) is not None:
        return found
    claims = [claim for claim, _ in claims_in(test)]
    open_ = [claim for claim in claims if not isinstance(claim, ast.Compare)]
    return open_[0] if len(claims) > 1 and len(open_) == 1 else None


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


def is_inside(inner: Position, outer: Position) -> bool:
    """Whether a place lies within another."""
    return (outer[0], outer[2]) <= (inner[0], inner[2]) and (inner[1], inner[3]) <= (outer[1], outer[3])


def place_of(node: ast.expr) -> Position:
    """Return where an expression stands."""
    (first, start), (last, end) = _range(node)
    return first, last, start, end


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


def _required(statement: ast.Assert, path: list[ast.AST], file: str) -> Requirement | None:
    """Return what an assertion requires of the last of the nodes below it; None if nothing."""
    if path and path[0] is not statement.test:
        return None  # the message
    nodes = path or [statement.test]
    signs: set[bool] = set()
    wholes: list[tuple[ast.expr, bool]] = []
    expressions = [node for node in nodes if isinstance(node, ast.expr)]
    if len(expressions) < len(nodes) or not _descend(expressions, True, signs, wholes):
        return None
    if not wholes and len([*claims_in(expressions[-1])]) > 1:
        wholes.append((expressions[-1], True))  # which of them it is can't be told
    claims = [node for node, _ in claims_in(statement.test)]
    single = next((node for node in expressions if any(node is claim for claim in claims)), expressions[-1])
    part, sign = wholes[0] if wholes else (single, True)
    names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return Requirement(
        file,
        range(statement.lineno, (statement.end_lineno or statement.lineno) + 1),
        place_of(part),
        holds=signs.pop() if len(signs) == 1 else None,
        whole=source_of(part, sign) if wholes else "",
        repeats=any(_is_repeated(node) for node in ast.walk(part)),
        bound=frozenset(name.id for name in names if isinstance(name.ctx, ast.Store)),
    )


def _is_repeated(node: ast.AST) -> bool:
    """Whether an expression has any number of items: a comprehension, or `all` of what is not written out."""
    match node:
        case ast.Call(func=ast.Name(id="all" | "any"), args=[items], keywords=[]):
            return not _is_written_out(items)
    return isinstance(node, _COMPREHENSIONS)


def _is_written_out(items: ast.expr) -> bool:
    return isinstance(items, _LITERALS) and not any(isinstance(item, ast.Starred) for item in items.elts)


def claims_in(node: ast.expr, sign: bool = True) -> Iterator[tuple[ast.expr, bool]]:
    """Yield the expressions of an assertion's test that are a claim each, and whether they are to hold."""
    operands, is_whole = _operands(node, sign)
    if is_whole or not operands:
        yield node, sign
        return
    for operand in operands:
        yield from claims_in(operand, sign ^ isinstance(node, ast.UnaryOp))


def source_of(node: ast.expr, sign: bool) -> str:
    """Return an expression's source, or that of its contrary."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=[ast.GeneratorExp() as items], keywords=[]):
            text = f"{name}{ast.unparse(items)}"  # which has parentheses already
        case _:
            text = ast.unparse(node)
    if sign:
        return text
    return f"not {text}" if isinstance(node, ast.Call) else f"not ({text})"


def _descend(
    nodes: list[ast.expr], sign: bool, signs: set[bool], wholes: list[tuple[ast.expr, bool]]
) -> bool:
    """Follow the nodes from what is asserted to a comparison; return whether the assertion says anything of it.

    Where the nodes end above the comparison, all that the last one combines is followed. `signs` takes whether what
    is compared is to hold, `wholes` the outermost node that is a claim as a whole.
    """
    node, rest = nodes[0], nodes[1:]
    operands, is_whole = _operands(node, sign)
    if is_whole:
        wholes.append((node, sign))
    if (
        rest
        and isinstance(rest[0], (*_COMPREHENSIONS, *_LITERALS))
        and isinstance(node, ast.Call | ast.Starred)
    ):
        rest = rest[1:]
    if rest and not any(rest[0] is operand for operand in operands):
        return False
    sign ^= isinstance(node, ast.UnaryOp)
    ways = [rest] if rest else [[operand] for operand in operands]
    if not ways:
        signs.add(sign)
    return all(_descend(way, sign, signs, wholes) for way in ways)


def _operands(node: ast.expr, sign: bool) -> tuple[list[ast.expr], bool]:
    """Return what the truth of an expression depends on, and whether how much of it is compared is open."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return [operand], False
        case ast.BoolOp(op=op, values=values):
            return values, isinstance(op, ast.And) != sign
        case ast.NamedExpr(value=operand) | ast.Call(func=ast.Name(id="bool"), args=[operand], keywords=[]):
            return [operand], False
        case ast.Call(func=ast.Name(id="all" | "any" as name), args=[items], keywords=[]):
            return _items(items), (name == "all") != sign or not _is_written_out(items)
        case ast.Starred() | ast.IfExp():
            return _items(node), True
    return [], isinstance(node, ast.Compare) and len(node.ops) > 1 and not sign


def _items(node: ast.expr) -> list[ast.expr]:
    """Return the expressions of which any number counts: items written out or made, or a condition's two ways."""
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return items
        case ast.GeneratorExp(elt=item) | ast.ListComp(elt=item) | ast.SetComp(elt=item):
            return [item]
        case ast.Starred(value=items):
            return _items(items)
        case ast.IfExp(body=body, orelse=orelse):
            return [body, orelse]
    return [node]
