"""Fields, variables and values in words, for people who read them in a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dspex.cli.output import shortened
from dspex.kernel.canonical import is_list, is_mapping
from dspex.kernel.ports import JSON
from dspex.kernel.signature import FieldSchema
from dspex.kernel.variables import Boolean, Choice, Demos, Float, Integer, Subset, Text, Variable
from dspex.optimization.counting import counted

_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "nothing",
}


def fields(items: Sequence[FieldSchema]) -> str:
    """`team: billing | technical, urgency: low | high`."""
    return ", ".join(f"{item.name}: {kind(item.type)}{' (optional)' if item.optional else ''}" for item in items)


def kind(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> str:
    """A JSON Schema in a few words."""
    known: Mapping[str, Any] = schema.get("$defs", definitions or {})
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[-1]
        inner = known.get(name, {})
        return kind(inner, known) if "enum" in inner else name
    if "enum" in schema or "const" in schema:
        return " | ".join(str(item) for item in schema.get("enum", [schema.get("const")]))
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(kind(item, known) for item in parts)
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}), known)}"
    return str(schema.get("format") or _WORDS.get(str(schema.get("type")), schema.get("type", "anything")))


def domain(variable: Variable) -> str:
    """What a variable may be."""
    match variable:
        case Float() | Integer():
            scale = " on a logarithmic scale" if variable.log else ""
            step = f" in steps of {variable.step:g}" if variable.step not in (None, 1) else ""
            noun = "number" if isinstance(variable, Float) else "whole number"
            return f"{noun} {variable.low:g}..{variable.high:g}{step}{scale}"
        case Boolean():
            return "true or false"
        case Choice():
            return f"{'step' if variable.steps else 'one of'} {' | '.join(value(item) for item in variable.values)}"
        case Subset():
            return f"some of {', '.join(value(item) for item in variable.of)}"
        case Demos():
            return f"up to {counted(variable.max, 'demonstration')}"
        case Text():
            return "text"
        case _:
            return type(variable).__name__.lower()


def value(item: JSON, length: int = 60) -> str:
    """A value on one short line."""
    if item is None:
        return "-"
    if isinstance(item, str):
        return shortened(item, length)
    if is_list(item) and item and all(is_mapping(part) for part in item):
        return counted(len(item), "demonstration")
    return shortened(json.dumps(item, ensure_ascii=False), length)


def size(number: float) -> str:
    """How many configurations a space has."""
    return "infinitely many configurations" if math.isinf(number) else counted(int(number), "configuration")
