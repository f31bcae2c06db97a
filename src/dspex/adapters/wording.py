"""Types in words: what a prompt says of a field, and which kinds of JSON value its schema admits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from dspex.kernel.canonical import is_list, is_mapping
from dspex.kernel.signature import FieldSchema

JSONSchema = Mapping[str, Any]
_encode = json.JSONEncoder(ensure_ascii=False).encode
_EVERY = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
_TYPE_NAMES: Mapping[Any, str] = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array",
}  # fmt: skip
_FORMATS = {
    "date": "date as YYYY-MM-DD",
    "date-time": "date and time as YYYY-MM-DDThh:mm:ss",
    "time": "time as hh:mm:ss",
    "duration": "duration in ISO 8601, such as PT30M",
    "uuid": "UUID",
    "uri": "URL",
}


def field_line(field: FieldSchema, *, output: bool) -> str:
    """`- score (integer, 0 to 100): how sure you are`."""
    left_out = "; may be left out" if output and field.optional else ""
    about = f": {field.description}" if field.description else ""
    return f"- {field.name} ({type_words(field.type)}{left_out}){about}"


def type_words(schema: JSONSchema, defs: JSONSchema | None = None) -> str:
    """A field's type and constraints as a model reads them; admissible values as `one of: a; b`."""
    defs = _definitions(schema) if defs is None else defs
    schema = resolved(schema, defs)
    if "enum" in schema or "const" in schema:
        return choice_words(schema["enum"] if "enum" in schema else [schema["const"]])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            parts = [type_words(item, defs) for item in schema[key]]
            return ", or ".join(dict.fromkeys(parts))
    kind = schema.get("type")
    if kind == "array":
        return _array_words(schema, defs)
    if kind == "object":
        return _object_words(schema, defs)
    plain = {"boolean": "true or false", "null": "null", "integer": "integer", "number": "number", "string": "text"}
    word = _FORMATS.get(str(schema.get("format")), plain.get(str(kind), "any JSON value"))
    return ", ".join([word, *_limits(schema)])


def choice_words(values: list[Any]) -> str:
    """`one of: billing; technical`; values that would be misread so are quoted."""
    bare = all(not isinstance(v, str) or (v == v.strip() and v and not set(v) & set(';"\n')) for v in values)
    shown = [value if isinstance(value, str) and bare else _encode(value) for value in values]
    return f"one of: {'; '.join(shown)}"


def resolved(schema: JSONSchema, defs: JSONSchema) -> JSONSchema:
    """The schema behind `$ref`s and single `allOf`s."""
    for _ in range(32):
        if "$ref" in schema:
            schema = defs.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        elif len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
        else:
            break
    return schema


def admitted(schema: JSONSchema, defs: JSONSchema | None = None, depth: int = 0) -> frozenset[str]:
    """The JSON types that a value of this schema may have."""
    defs = _definitions(schema) if defs is None else defs
    schema = resolved(schema, defs)
    if "enum" in schema or "const" in schema:
        return frozenset(type_name(item) for item in schema.get("enum", [schema.get("const")]))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            parts = [admitted(item, defs, depth + 1) for item in schema[key]] if depth < 16 else [_EVERY]
            return frozenset[str]().union(*parts)
    kind = schema.get("type")
    if is_list(kind):
        return frozenset(str(item) for item in kind)
    return frozenset({str(kind)}) if kind else _EVERY


def is_schema(value: Any) -> TypeGuard[JSONSchema]:
    """Whether a part of a JSON Schema says anything."""
    return is_mapping(value) and len(value) > 0


def type_name(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    return _TYPE_NAMES.get(type(value), "object")


def _definitions(schema: JSONSchema) -> JSONSchema:
    found: JSONSchema = schema.get("$defs", {})
    return found


def _array_words(schema: JSONSchema, defs: JSONSchema) -> str:
    if "prefixItems" in schema:
        inner = ", ".join(type_words(item, defs) for item in schema["prefixItems"])
        return f"JSON list of exactly: {inner}"
    item = schema.get("items")
    of = f" of {type_words(item, defs)}" if item else ""
    distinct = ["no item twice"] if schema.get("uniqueItems") else []
    return ", ".join([f"JSON list{of}", *_limits(schema), *distinct])


def _object_words(schema: JSONSchema, defs: JSONSchema) -> str:
    if "properties" not in schema:
        values: Any = schema.get("additionalProperties")
        return f"JSON object, each value {type_words(values, defs)}" if is_schema(values) else "JSON object"
    whole = {**schema, "$defs": dict(defs)} if '"$ref"' in _encode(schema) else schema
    return f"JSON object of this schema: {_encode(whole)}"


def _limits(schema: JSONSchema) -> list[str]:
    found: list[str] = []
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        found.append(f"{low} to {high}")
    else:
        found += [f"at least {low}"] if low is not None else []
        found += [f"at most {high}"] if high is not None else []
    words = {
        "exclusiveMinimum": "more than {}",
        "exclusiveMaximum": "less than {}",
        "multipleOf": "a multiple of {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "pattern": "matching the regular expression {}",
        "minItems": "at least {} items",
        "maxItems": "at most {} items",
    }
    return found + [text.format(schema[key]) for key, text in words.items() if key in schema]
