"""Constraints between variables as data: small comparisons over paths, parsed and evaluated without running code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dspex.errors import VariableError
from dspex.kernel.canonical import is_list
from dspex.kernel.ports import JSON

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda item, items: item in items, ast.NotIn: lambda item, items: item not in items,
}  # fmt: skip
_WORDS: Mapping[str, JSON] = {"true": True, "false": False, "null": None}
_LONGEST = 2000  # characters of one constraint
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Constraint:
    """`"plan.max_tokens <= 1024 or plan.model == 'openai/big'"`. A comparison over an inactive variable holds."""

    text: str
    tree: ast.expr
    paths: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Raises VariableError for anything but comparisons of paths and constants joined by and, or, not, +, -, *."""
        if len(text) > _LONGEST:
            raise VariableError(f"constraint {text[:60]!r}... is longer than {_LONGEST} characters; write several")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
            paths = tuple(dict.fromkeys(_paths(tree)))
        except SyntaxError as error:
            raise VariableError(f"constraint {text!r} does not read: {error.msg} at column {error.offset}") from error
        except ValueError as error:
            raise VariableError(f"constraint {text!r}: {error}") from error
        if not paths:
            raise VariableError(f"constraint {text!r} names no variable; write a path such as step.option")
        return cls(text, tree, paths)

    def constants(self) -> Iterator[tuple[str, JSON]]:
        """Each (path, value) that are compared for being the same, so that a misspelt value can be found."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Compare):
                yield from _sames(node)

    def holds(self, values: Mapping[str, JSON]) -> bool:
        """Whether it holds for these values by path. Raises VariableError when values cannot be compared."""
        try:
            return bool(_value(self.tree, values))
        except TypeError as error:
            raise VariableError(f"constraint {self.text!r} cannot be evaluated: {error}") from error


def _paths(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
            for part in parts:
                yield from _paths(part)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=inner):
            yield from _paths(inner)
        case ast.Compare(left=left, ops=ops, comparators=rest) if all(type(op) in _COMPARE for op in ops):
            for part in (left, *rest):
                yield from _paths(part)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            yield from _paths(left)
            yield from _paths(right)
        case ast.Name(id=name) if name in _WORDS:
            pass
        case ast.Attribute() | ast.Name():
            yield _path(node)
        case ast.Constant(value=None | bool() | int() | float() | str()):
            pass
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not allowed; use comparisons of paths and constants")


def _path(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=inner, attr=name):
            return f"{_path(inner)}.{name}"
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not a path")


class _Inactive:
    """Stands for the value of an inactive variable."""


_INACTIVE = _Inactive()


def _value(node: ast.expr, values: Mapping[str, JSON]) -> Any:
    match node:
        case ast.BoolOp() | ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return _truth(node, values)
        case ast.UnaryOp(operand=inner):
            return -_number(inner, values)
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_number(left, values), _number(right, values))
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, values) for item in items]
        case ast.Constant(value=constant):
            return constant
        case ast.Name(id=name) if name in _WORDS:
            return _WORDS[name]
        case _:
            return values.get(_path(node), _INACTIVE)


def _number(node: ast.expr, values: Mapping[str, JSON]) -> Any:
    """Only numbers are reckoned with: a text times a million is no constraint."""
    value = _value(node, values)
    if not isinstance(value, int | float | _Inactive):
        raise TypeError(f"{ast.unparse(node)} is {value!r}, not a number")
    return value


def _sames(node: ast.Compare) -> Iterator[tuple[str, JSON]]:
    parts = [node.left, *node.comparators]
    for op, left, right in zip(node.ops, parts, parts[1:], strict=False):
        if not isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
            continue
        for here, there in ((left, right), (right, left)):
            if isinstance(here, ast.Attribute | ast.Name) and not list(_paths(there)):
                found = _value(there, {})
                options: list[JSON] = found if isinstance(op, ast.In | ast.NotIn) and is_list(found) else [found]
                yield from ((_path(here), option) for option in options)


def _truth(node: ast.expr, values: Mapping[str, JSON]) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, values) for part in parts)
        case ast.UnaryOp(operand=inner):
            return any(path not in values for path in _paths(inner)) or not _value(inner, values)
        case ast.Compare():
            return _compared(node, values)
        case _:
            return bool(_value(node, values))


def _compared(node: ast.Compare, values: Mapping[str, JSON]) -> bool:
    if any(path not in values for path in _paths(node)):
        return True
    left = _value(node.left, values)
    for op, part in zip(node.ops, node.comparators, strict=True):
        right = _value(part, values)
        if not _COMPARE[type(op)](left, right):
            return False
        left = right
    return True
