"""JSON Schemas made into pydantic-core schemas, strictly: what cannot be enforced is refused, never ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from dspex.errors import SignatureError
from dspex.kernel import formats
from dspex.kernel.canonical import identity, is_list, is_mapping, plain

_NOT_ENFORCED = (
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "dependentRequired", "dependentSchemas",
    "dependencies", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef",
)  # fmt: skip
_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}


class Builder:
    """Core schemas of one field; its `$defs` become `definitions`, so that recursive types work."""

    def __init__(self, owner: str, defs: Mapping[str, Any]) -> None:
        self.owner, self.defs = owner, defs
        self.definitions: dict[str, CoreSchema] = {}
        self._started: set[str] = set()
        self._makers: dict[Any, Callable[[Mapping[str, Any]], CoreSchema]] = {
            "string": self._string, "integer": self._integer, "number": self._number, "array": self._array,
            "object": self._object, "boolean": lambda _: core_schema.bool_schema(strict=True),
            "null": lambda _: core_schema.none_schema(), None: lambda _: _anything(),
        }  # fmt: skip

    def build(self, schema: Any) -> CoreSchema:
        """The core schema of one (sub)schema. Raises SignatureError for what is malformed or not enforced."""
        if schema is True or schema == {}:
            return _anything()
        if not is_mapping(schema):
            raise self._refusal(f"holds {schema!r} where a schema belongs")
        if unknown := [key for key in _NOT_ENFORCED if key in schema]:
            raise self._refusal(f"uses {unknown[0]!r}, which is not enforced here; say it without")
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]).rsplit("/", 1)[-1])
        if "const" in schema or "enum" in schema:
            return _literal(list(schema.get("enum", [schema.get("const")])))
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._union(schema, options)
        return self._typed(schema)

    def _typed(self, schema: Mapping[str, Any]) -> CoreSchema:
        if parts := schema.get("allOf"):
            if len(parts) > 1:
                raise self._refusal("uses 'allOf' of several schemas, which is not enforced here; write them as one")
            return self.build(parts[0])
        kind = schema.get("type")
        if is_list(kind):
            return self._union({}, [{**schema, "type": item} for item in kind])
        if kind not in self._makers:
            raise self._refusal(
                f"has the unknown type {kind!r}; JSON Schema has {', '.join(filter(None, self._makers))}"
            )
        return self._makers[kind](schema)

    def _refusal(self, problem: str) -> SignatureError:
        return SignatureError(f"field {self.owner!r}: its JSON Schema {problem}")

    def _reference(self, name: str) -> CoreSchema:
        if name not in self.defs:
            raise self._refusal(f"refers to {name!r}, which is not in its $defs")
        ref = f"{self.owner}:{name}"
        if name not in self._started:
            self._started.add(name)
            built = self.build(self.defs[name])
            if built["type"] == "definition-ref":
                built = core_schema.chain_schema([built])  # an alias of another definition
            self.definitions[name] = cast("CoreSchema", {**built, "ref": ref})
        return core_schema.definition_reference_schema(ref)

    def _union(self, schema: Mapping[str, Any], options: list[Any]) -> CoreSchema:
        if is_mapping(tags := schema.get("discriminator")) and is_mapping(mapping := tags.get("mapping")):
            named = {tag: self._reference(ref.rsplit("/", 1)[-1]) for tag, ref in mapping.items()}
            return core_schema.tagged_union_schema(named, tags["propertyName"])
        rest = [item for item in options if not (is_mapping(item) and item.get("type") == "null")]
        built: list[CoreSchema | tuple[CoreSchema, str]] = [(self.build(item), _label(item)) for item in rest]
        inner = self.build(rest[0]) if len(rest) == 1 else core_schema.union_schema(built)
        return inner if len(rest) == len(options) else core_schema.nullable_schema(inner)

    def _string(self, schema: Mapping[str, Any]) -> CoreSchema:
        text = core_schema.str_schema(
            min_length=schema.get("minLength"),
            max_length=schema.get("maxLength"),
            pattern=schema.get("pattern"),
            strict=True,
        )
        if schema.get("contentMediaType") == "application/json":
            parsed = core_schema.json_schema(self.build(schema.get("contentSchema", {})))
            return core_schema.chain_schema([text, formats.kept(parsed)])
        form = schema.get("format")
        return formats.checked(form, schema, text) if isinstance(form, str) else text

    def _integer(self, schema: Mapping[str, Any]) -> CoreSchema:
        return core_schema.int_schema(strict=True, **_bounds(schema))

    def _number(self, schema: Mapping[str, Any]) -> CoreSchema:
        number = core_schema.float_schema(strict=True, allow_inf_nan=False, **_bounds(schema))
        if schema.get("format") != "decimal":
            return number
        exact = core_schema.union_schema([core_schema.int_schema(strict=True), number])
        return core_schema.chain_schema([exact, formats.kept(formats.decimal(schema))])

    def _array(self, schema: Mapping[str, Any]) -> CoreSchema:
        low, high = schema.get("minItems"), schema.get("maxItems")
        if "prefixItems" in schema:
            return self._tuple(schema, low or 0)
        each = self.build(schema.get("items", {}))
        if not schema.get("uniqueItems"):
            return core_schema.list_schema(each, min_length=low, max_length=high, strict=True)
        # A set: an item written twice is there once, and the limits are those of the set.
        items = core_schema.list_schema(each, strict=True)
        distinct = core_schema.no_info_after_validator_function(_distinct, items)
        bounded = core_schema.list_schema(min_length=low, max_length=high, strict=True)
        return core_schema.chain_schema([distinct, bounded])

    def _tuple(self, schema: Mapping[str, Any], low: int) -> CoreSchema:
        prefix: list[Any] = list(schema["prefixItems"])
        parts = [
            _defaulted(self.build(item), item) if at >= low else self.build(item) for at, item in enumerate(prefix)
        ]
        rest = schema.get("items", False)
        variadic = rest is not False and schema.get("maxItems") != len(prefix)
        if variadic:
            parts.append(self.build(rest))
        pair = core_schema.tuple_schema(parts, variadic_item_index=len(prefix) if variadic else None, strict=False)
        steps: list[CoreSchema] = [
            core_schema.list_schema(strict=True),
            core_schema.no_info_after_validator_function(list, pair),
        ]
        return core_schema.chain_schema(steps)

    def _object(self, schema: Mapping[str, Any]) -> CoreSchema:
        extra = schema.get("additionalProperties")
        if "properties" not in schema:
            return self._dict(schema, extra)
        required = set(schema.get("required", ()))
        entries = {
            name: core_schema.typed_dict_field(_defaulted(self.build(item), item), required=name in required)
            for name, item in schema["properties"].items()
        }
        if is_mapping(extra) or extra is True:
            return core_schema.typed_dict_schema(
                entries, extra_behavior="allow", extras_schema=self.build(extra), strict=True
            )
        return core_schema.typed_dict_schema(
            entries, extra_behavior="forbid" if extra is False else "ignore", strict=True
        )

    def _dict(self, schema: Mapping[str, Any], extra: Any) -> CoreSchema:
        keys: CoreSchema = core_schema.str_schema(strict=True)
        if "propertyNames" in schema:
            keys = self.build({"type": "string", **schema["propertyNames"]})
        if patterns := schema.get("patternProperties"):
            if len(patterns) > 1 or "propertyNames" in schema:
                raise self._refusal("uses 'patternProperties' with more than one pattern, which is not enforced here")
            pattern, extra = next(iter(patterns.items()))
            keys = core_schema.str_schema(pattern=pattern, strict=True)
        values = self.build(extra) if is_mapping(extra) else _anything()
        low, high = schema.get("minProperties"), schema.get("maxProperties")
        if extra is False:
            high = 0
        return core_schema.dict_schema(keys, values, min_length=low, max_length=high, strict=True)


def _anything() -> CoreSchema:
    return core_schema.no_info_plain_validator_function(plain)


def _bounds(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {ours: schema[theirs] for theirs, ours in _BOUNDS.items() if theirs in schema}


def _defaulted(built: CoreSchema, schema: Any) -> CoreSchema:
    if is_mapping(schema) and "default" in schema:
        return core_schema.with_default_schema(built, default=schema["default"])
    return built


def _label(schema: Any) -> str:
    """What a fault in this branch of a union is filed under."""
    if not is_mapping(schema):
        return "any"
    return str(schema.get("$ref", schema.get("format", schema.get("type", "value")))).rsplit("/", 1)[-1]


def _literal(values: list[Any]) -> CoreSchema:
    if all(isinstance(item, str) for item in values):
        return core_schema.literal_schema(values)
    known = {identity(item): item for item in values}
    shown = ", ".join(repr(item) for item in values)

    def check(value: Any) -> Any:
        try:
            return known[identity(value)]
        except (KeyError, TypeError, ValueError):
            raise PydanticCustomError("literal_error", "should be one of {shown}", {"shown": shown}) from None

    return core_schema.no_info_plain_validator_function(check)


def _distinct(items: list[Any]) -> list[Any]:
    return list({identity(item): item for item in reversed(items)}.values())[::-1] if len(items) > 1 else items
