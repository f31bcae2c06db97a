"""Signatures in one line: `"question, context: list[str] -> answer: str, confidence: float"`."""

from __future__ import annotations

import ast
import datetime
import decimal
import uuid
from collections.abc import Mapping
from typing import Any, Literal, Optional, Union

from pydantic import create_model

from dspex.errors import SignatureError, suggestion
from dspex.kernel.signature import IDENTIFIER, Input, Output, Schema, Signature

_TYPES: dict[str, Any] = {
    "str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "set": set, "tuple": tuple,
    "Optional": Optional, "Union": Union, "Literal": Literal, "date": datetime.date, "datetime": datetime.datetime,
    "time": datetime.time, "timedelta": datetime.timedelta, "Decimal": decimal.Decimal, "UUID": uuid.UUID,
}  # fmt: skip


def signature(
    text: str, instructions: str = "", *, name: str = "signature", types: Mapping[str, Any] | None = None
) -> Schema:
    """The schema of a shorthand; `types` names further types. A field without a type is `str`.

    One whose type allows None may be left out, since a line has no place for a default.
    """
    sides = _split(text, "->")
    if len(sides) != 2:
        raise SignatureError(f"signature {text!r}: write `inputs -> outputs`, with one arrow")
    left, right = sides
    known = {**_TYPES, **(types or {})}
    fields: dict[str, Any] = {}
    for side, marker in ((left, Input), (right, Output)):
        for field, kind in _fields(side, text, known):
            if field in fields:
                raise SignatureError(f"signature {text!r}: field {field!r} is there twice")
            optional = type(None) in getattr(kind, "__args__", ())
            fields[field] = (kind, marker(default=None) if optional else marker())
    return create_model(name, __base__=Signature, __doc__=instructions or None, **fields).schema_of()


def as_schema(given: type[Signature] | Schema | str, instructions: str = "") -> Schema:
    """Whatever a user may write for a signature, as data."""
    other: Any = given
    if isinstance(given, str):
        return signature(given, instructions)
    if isinstance(given, Schema):
        schema = given
    elif isinstance(other, type) and issubclass(other, Signature):
        schema = other.schema_of()
    else:
        raise SignatureError(
            f"a signature is a Signature class, a Schema or a shorthand string, not {type(given).__name__}"
        )
    return schema.model_copy(update={"instructions": instructions}) if instructions else schema


def _fields(side: str, text: str, known: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for part in filter(str.strip, _split(side, ",")):
        name, colon, kind = (piece.strip() for piece in part.partition(":"))
        if not IDENTIFIER.fullmatch(name):
            raise SignatureError(f"signature {text!r}: {name!r} is not a field name (letters, digits and _)")
        if colon and not kind:
            raise SignatureError(f"signature {text!r}: field {name!r} has a colon but no type")
        found.append((name, _type(kind, text, name, known) if kind else str))
    return found


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that are outside brackets and quotes."""
    parts: list[str] = []
    depth, quote, start = 0, "", 0
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "[(":
            depth += 1
        elif char in "])":
            depth -= 1
        elif depth == 0 and text.startswith(separator, index):
            parts.append(text[start:index])
            start = index + len(separator)
    return [*parts, text[start:]]


def _type(kind: str, text: str, field: str, known: Mapping[str, Any]) -> Any:
    try:
        node = ast.parse(kind, mode="eval").body
        return _built(node, known)
    except SyntaxError as error:
        raise SignatureError(f"signature {text!r}: the type of {field!r} does not read as one: {kind!r}") from error
    except (TypeError, ValueError) as error:
        raise SignatureError(f"signature {text!r}: the type of {field!r}, {kind!r}: {error}") from error


def _built(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """A type from its syntax tree: names, subscripts, unions and None, nothing that runs."""
    match node:
        case ast.Name(id=name):
            if name not in known:
                raise ValueError(f"no type {name!r}{suggestion(name, known)} (pass others as types={{...}})")
            return known[name]
        case ast.Constant(value=None):
            return type(None)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_built(left, known), _built(right, known)]  # noqa: UP007 - built from values
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _subscripted(Literal, tuple(ast.literal_eval(item) for item in items))
        case ast.Subscript(value=outer, slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            arguments = [... if isinstance(i, ast.Constant) and i.value is ... else _built(i, known) for i in items]
            return _subscripted(_built(outer, known), tuple(arguments) if len(arguments) > 1 else arguments[0])
        case _:
            raise ValueError("write names, brackets, | and None")


def _subscripted(generic: Any, arguments: Any) -> Any:
    return generic[arguments]
