"""The grammar of the sizes in an exported program: torch gives them to sympy, which evaluates Python."""

from __future__ import annotations

import ast
import re
from functools import lru_cache

_LONGEST = 4000
_MOST_PARTS = 400
_LARGEST_POWER = 8
_SYMBOL = re.compile(r"[a-z]{1,4}\d{1,6}", re.ASCII)
_ASSUMPTIONS = frozenset(
    {"positive", "negative", "nonnegative", "nonpositive", "integer", "real", "zero", "nonzero"}
)
_FUNCTION_NAMES = """
Add Mul Max Min Rational FloorDiv CeilDiv CleanDiv Mod PythonMod ModularIndexing IntTrueDiv FloatTrueDiv
TruncToInt CeilToInt FloorToInt ToFloat Identity Eq Ne Gt Ge Lt Le Equality Unequality GreaterThan LessThan
StrictGreaterThan StrictLessThan And Or Not
"""
_FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_SIGNS = (ast.USub, ast.UAdd)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@lru_cache(maxsize=4096)
def is_expression(text: str) -> bool:
    """Whether a text is an expression over symbols of sizes and integers, of bounded length and power.

    >>> [is_expression(text) for text in ("2*s0 + 1", "FloorDiv(s0, 2)", "Symbol('s77', positive=True, integer=True)")]
    [True, True, True]
    >>> [is_expression(text) for text in ("__import__('os')", "s0.func", "9**9**9", "Symbol('x', commutative=open('f'))")]
    [False, False, False, False]
    """
    if len(text) > _LONGEST:
        return False
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return sum(1 for _ in ast.walk(tree)) <= _MOST_PARTS and _is_sound(tree)


def _is_sound(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return _is_call(node)
    if isinstance(node, (ast.BinOp, ast.Compare, ast.UnaryOp)):
        return _is_operation(node)
    if isinstance(node, ast.Name):
        return bool(_SYMBOL.fullmatch(node.id)) or node.id in {"true", "false"}
    return _number(node) is not None


def _is_operation(node: ast.BinOp | ast.Compare | ast.UnaryOp) -> bool:
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, _SIGNS) and _is_sound(node.operand)
    if isinstance(node, ast.Compare):
        sides = (node.left, *node.comparators)
        return all(isinstance(op, _COMPARISONS) for op in node.ops) and all(map(_is_sound, sides))
    if isinstance(node.op, ast.Pow):
        return _is_power(node.left, node.right)
    return isinstance(node.op, _OPERATORS) and _is_sound(node.left) and _is_sound(node.right)


def _is_call(node: ast.Call) -> bool:
    if not isinstance(node.func, ast.Name):
        return False
    name, arguments = node.func.id, node.args
    if name == "Symbol":
        return len(arguments) == 1 and _is_symbol(arguments[0]) and all(map(_is_assumption, node.keywords))
    if node.keywords:
        return False
    if name == "Integer":
        return len(arguments) == 1 and _number(arguments[0]) is not None
    if name == "Pow":
        return len(arguments) == 2 and _is_power(*arguments)
    return name in _FUNCTIONS and all(map(_is_sound, arguments))


def _is_power(base: ast.expr, exponent: ast.expr) -> bool:
    power = _number(exponent)
    return power is not None and abs(power) <= _LARGEST_POWER and _number(base) is None and _is_sound(base)


def _is_symbol(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(_SYMBOL.fullmatch(node.value))
    )


def _is_assumption(word: ast.keyword) -> bool:
    return (
        word.arg in _ASSUMPTIONS
        and isinstance(word.value, ast.Constant)
        and isinstance(word.value.value, bool)
    )


def _number(node: ast.expr) -> int | None:
    """Return the integer that an expression is, with a sign or as sympy writes it."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Integer"
        and len(node.args) == 1
    ):
        return _number(node.args[0])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) < 2**63:
        return node.value
    return None
