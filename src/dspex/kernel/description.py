"""A pydantic model's fields as self-contained JSON Schemas, with everything in them that can be enforced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, to_jsonable_python

from dspex.errors import SignatureError
from dspex.kernel.canonical import is_list, is_mapping
from dspex.kernel.formats import BOUNDS, DIGITS

_AWARE = r"(?:[Zz]|[+-]\d\d:?\d\d)$"
_LITERAL_KEYS = ("default", "const", "enum", "examples", "discriminator", "required")
_UNION_BOUNDS: Mapping[str, tuple[str, ...]] = {
    "integer": ("ge:minimum", "le:maximum", "gt:exclusiveMinimum", "lt:exclusiveMaximum", "multiple_of:multipleOf"),
    "number": ("ge:minimum", "le:maximum", "gt:exclusiveMinimum", "lt:exclusiveMaximum", "multiple_of:multipleOf"),
    "string": ("minLength:minLength", "maxLength:maxLength", "pattern:pattern"),
    "array": ("minLength:minItems", "maxLength:maxItems"),
    "object": ("minLength:minProperties", "maxLength:maxProperties"),
}
"""Constraints on a union, as pydantic leaves them beside `anyOf`, and what each kind of branch makes of them."""
_LOOSE = {pair.split(":")[0] for pairs in _UNION_BOUNDS.values() for pair in pairs}


def field_schemas(model: type[BaseModel], where: str) -> dict[str, dict[str, Any]]:
    """JSON Schema by field name, `$defs` inside. Raises SignatureError naming the field that has none."""
    try:
        whole = model.model_json_schema(schema_generator=_Generator)
    except PydanticInvalidForJsonSchema as error:
        raise SignatureError(
            f"{where}: the type of {_culprit(model)} cannot be described to a model ({error.message}); "
            "use a type that has a JSON Schema: str, int, float, bool, Literal, an Enum, list, dict, a pydantic model"
        ) from error
    except PydanticUserError as error:
        raise SignatureError(f"{where}: {error.message}") from error
    definitions = {name: _clean(schema, where) for name, schema in whole.get("$defs", {}).items()}
    return {
        name: _contained(_clean(schema, where), definitions) for name, schema in whole.get("properties", {}).items()
    }


class _Generator(GenerateJsonSchema):
    """pydantic's generator, plus the limits of dates, decimals and keys that it leaves out."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        limits = _limits(schema, {**BOUNDS, **DIGITS})
        number, text = super().decimal_schema(schema)["anyOf"]
        number.pop("multipleOf", None)  # checked exactly, as a decimal
        return {"anyOf": [{**number, "format": "decimal", **limits}, {**text, "format": "decimal", **limits}]}

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        return {**super().date_schema(schema), **_limits(schema, BOUNDS)}

    def time_schema(self, schema: core_schema.TimeSchema) -> JsonSchemaValue:
        return {**super().time_schema(schema), **_limits(schema, BOUNDS)}

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        return {**super().timedelta_schema(schema), **_limits(schema, BOUNDS)}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        zone = schema.get("tz_constraint")
        pattern = {"aware": {"pattern": _AWARE}, "naive": {"pattern": f"^(?!.*{_AWARE})"}}
        return {**super().datetime_schema(schema), **_limits(schema, BOUNDS), **pattern.get(str(zone), {})}

    def complex_schema(self, schema: core_schema.ComplexSchema) -> JsonSchemaValue:
        return {**super().complex_schema(schema), "format": "complex"}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        keys = schema.get("keys_schema", {}).get("type")
        names = {"propertyNames": {"type": "string", "pattern": r"^-?\d+$"}} if keys == "int" else {}
        return {**super().dict_schema(schema), **names}


def _limits(schema: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {theirs: to_jsonable_python(schema[ours]) for ours, theirs in names.items() if schema.get(ours) is not None}


def _clean(schema: Any, where: str) -> Any:
    """Without the `title`s pydantic makes from names, which say nothing, and with constraints where JSON has them."""
    if is_list(schema):
        return [_clean(item, where) for item in schema]
    if not is_mapping(schema):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "patternProperties"):
            out[key] = {name: _clean(item, where) for name, item in value.items()}
        elif key in _LITERAL_KEYS:
            out[key] = value
        elif not (key == "title" and isinstance(value, str)):
            out[key] = _clean(value, where)
    return _distributed(out, where)


def _distributed(schema: dict[str, Any], where: str) -> dict[str, Any]:
    """A constraint on a union, moved into each branch it can mean something to."""
    options = schema.get("anyOf")
    own = {part for pair in _UNION_BOUNDS.get(str(schema.get("type")), ()) for part in pair.split(":")[1:]}
    loose = {key: schema[key] for key in _LOOSE if key in schema and key not in own}
    if not loose:
        return schema
    if not is_list(options):
        raise SignatureError(f"{where}: the constraint {next(iter(loose))!r} does not fit its type")
    branches = [_bounded(item, loose, where) for item in options]
    return {**{key: value for key, value in schema.items() if key not in loose}, "anyOf": branches}


def _bounded(schema: dict[str, Any], loose: Mapping[str, Any], where: str) -> dict[str, Any]:
    kind = schema.get("type")
    if kind == "null":
        return schema
    names = dict(pair.split(":") for pair in _UNION_BOUNDS.get(str(kind), ()))
    if unfit := [key for key in loose if key not in names]:
        raise SignatureError(
            f"{where}: the constraint {unfit[0]!r} does not fit every type of the union; put it inside"
        )
    return {**{names[key]: value for key, value in loose.items()}, **schema}


def _contained(schema: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """With the definitions it refers to, directly or not."""
    found: set[str] = set()
    stack: list[Any] = [schema]
    while stack:
        item = stack.pop()
        if is_mapping(item):
            ref = item.get("$ref")
            if isinstance(ref, str) and (name := ref.rsplit("/", 1)[-1]) in definitions and name not in found:
                found.add(name)
                stack.append(definitions[name])
            stack.extend(item.values())
        elif is_list(item):
            stack.extend(item)
    return {**schema, "$defs": {name: definitions[name] for name in sorted(found)}} if found else schema


def _culprit(model: type[BaseModel]) -> str:
    """The field whose type has no JSON Schema: the first that fails alone."""
    for name, info in model.model_fields.items():
        try:
            TypeAdapter[Any](
                cast("Any", info.annotation), config=ConfigDict(arbitrary_types_allowed=True)
            ).json_schema()
        except PydanticUserError:
            return f"field {name!r}"
    return "a field"
