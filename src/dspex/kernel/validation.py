"""Strict validators built from JSON Schemas, so that a program behaves the same from a class and from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from pydantic_core import CoreSchema, PydanticCustomError, SchemaError, SchemaValidator, ValidationError, core_schema

from dspex.errors import SignatureError
from dspex.kernel.canonical import is_list

_FORMATS: dict[str, Callable[[], CoreSchema]] = {
    "date": core_schema.date_schema,
    "date-time": core_schema.datetime_schema,
    "time": core_schema.time_schema,
    "duration": core_schema.timedelta_schema,
    "uuid": core_schema.uuid_schema,
    "uri": core_schema.url_schema,
}


class InvalidValuesError(ValueError):
    """Values that do not fit. `problems` holds one (path, message) pair for each fault."""

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{path}: {message}" for path, message in problems))


class Validator:
    """Checks a mapping of named values against JSON Schemas.

    `fields` maps a name to (JSON Schema, whether it may be absent, its default then). Strict: `"3"` is not an integer.
    """

    def __init__(self, fields: Mapping[str, tuple[dict[str, Any], bool, Any]]) -> None:
        self.names = frozenset(fields)
        entries: dict[str, core_schema.TypedDictField] = {}
        definitions: list[CoreSchema] = []
        for name, (schema, optional, default) in fields.items():
            built = _Builder(name, schema.get("$defs", {}))
            entry = built.build(schema)
            definitions.extend(built.definitions.values())
            if optional:
                entry = core_schema.with_default_schema(entry, default=default)
            entries[name] = core_schema.typed_dict_field(entry, required=not optional)
        whole: CoreSchema = core_schema.typed_dict_schema(entries, extra_behavior="ignore")
        if definitions:
            whole = core_schema.definitions_schema(whole, definitions)
        try:
            self._check = SchemaValidator(whole, {"strict": True, "regex_engine": "python-re"}).validate_python
        except SchemaError as error:
            raise SignatureError(f"a field's JSON Schema cannot be enforced: {error}") from error

    def __call__(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the declared fields, defaults filled in. Raises InvalidValuesError naming every fault."""
        try:
            result: dict[str, Any] = self._check(values)
        except ValidationError as error:
            raise InvalidValuesError(
                tuple(
                    (".".join(str(part) for part in fault["loc"]) or "value", fault["msg"])
                    for fault in error.errors(include_url=False, include_context=False, include_input=False)
                )
            ) from None
        return result


class _Builder:
    """Core schemas of one field; `$defs` become definitions, so that recursive models work."""

    def __init__(self, owner: str, defs: Mapping[str, Any]) -> None:
        self.owner, self.defs = owner, defs
        self.definitions: dict[str, CoreSchema] = {}
        self._started: set[str] = set()

    def build(self, schema: Any) -> CoreSchema:
        if schema is True or schema == {}:
            return core_schema.any_schema()
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]).rsplit("/", 1)[-1])
        if "const" in schema or "enum" in schema:
            return core_schema.literal_schema(list(schema.get("enum", [schema.get("const")])))
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._union(options)
        if "allOf" in schema and len(schema["allOf"]) == 1:
            return self.build(schema["allOf"][0])
        return self._typed(schema)

    def _typed(self, schema: dict[str, Any]) -> CoreSchema:
        kind = schema.get("type")
        if is_list(kind):
            return self._union([{**schema, "type": item} for item in kind])
        makers: dict[Any, Callable[[dict[str, Any]], CoreSchema]] = {
            "string": self._string, "integer": self._integer, "number": self._number, "array": self._array,
            "object": self._object, "boolean": lambda _: core_schema.bool_schema(strict=True),
            "null": lambda _: core_schema.none_schema(), None: lambda _: core_schema.any_schema(),
        }  # fmt: skip
        if kind not in makers:
            raise SignatureError(f"field {self.owner!r}: JSON Schema type {kind!r} is not known")
        return makers[kind](schema)

    def _reference(self, name: str) -> CoreSchema:
        if name not in self.defs:
            raise SignatureError(f"field {self.owner!r}: its JSON Schema refers to {name!r}, which is not in $defs")
        ref = f"{self.owner}:{name}"
        if name not in self._started:
            self._started.add(name)
            built = self.build(self.defs[name])
            if built["type"] == "definition-ref":
                built = core_schema.chain_schema([built])  # an alias of another definition
            self.definitions[name] = cast("CoreSchema", {**built, "ref": ref})
        return core_schema.definition_reference_schema(ref)

    def _union(self, options: list[Any]) -> CoreSchema:
        rest = [item for item in options if item.get("type") != "null"]
        built = [self.build(item) for item in rest]
        inner = built[0] if len(built) == 1 else core_schema.union_schema([*built])
        return inner if len(rest) == len(options) else core_schema.nullable_schema(inner)

    def _string(self, schema: dict[str, Any]) -> CoreSchema:
        text = core_schema.str_schema(
            min_length=schema.get("minLength"),
            max_length=schema.get("maxLength"),
            pattern=schema.get("pattern"),
            strict=True,
        )
        form = schema.get("format")
        return core_schema.no_info_after_validator_function(_formatted(form), text) if form in _FORMATS else text

    def _integer(self, schema: dict[str, Any]) -> CoreSchema:
        return core_schema.int_schema(strict=True, **_bounds(schema))

    def _number(self, schema: dict[str, Any]) -> CoreSchema:
        return core_schema.float_schema(strict=True, allow_inf_nan=False, **_bounds(schema))

    def _array(self, schema: dict[str, Any]) -> CoreSchema:
        low, high = schema.get("minItems"), schema.get("maxItems")
        if "prefixItems" in schema:
            parts = [self.build(item) for item in schema["prefixItems"]]
            pair = core_schema.tuple_schema(parts, strict=False)
            return core_schema.no_info_after_validator_function(list, pair)
        items = core_schema.list_schema(
            self.build(schema.get("items", {})), min_length=low, max_length=high, strict=True
        )
        return core_schema.no_info_after_validator_function(_distinct, items) if schema.get("uniqueItems") else items

    def _object(self, schema: dict[str, Any]) -> CoreSchema:
        extra = schema.get("additionalProperties")
        if "properties" not in schema:
            return core_schema.dict_schema(
                core_schema.str_schema(),
                self.build(extra) if isinstance(extra, dict) else core_schema.any_schema(),
                strict=True,
            )
        required = set(schema.get("required", ()))
        entries: dict[str, core_schema.TypedDictField] = {}
        for name, item in schema["properties"].items():
            entry = self.build({k: v for k, v in item.items() if k not in ("default", "description")})
            if "default" in item:
                entry = core_schema.with_default_schema(entry, default=item["default"])
            entries[name] = core_schema.typed_dict_field(entry, required=name in required)
        return core_schema.typed_dict_schema(
            entries, extra_behavior="forbid" if extra is False else "ignore", strict=True
        )


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    names = {
        "minimum": "ge",
        "maximum": "le",
        "exclusiveMinimum": "gt",
        "exclusiveMaximum": "lt",
        "multipleOf": "multiple_of",
    }
    return {ours: schema[theirs] for theirs, ours in names.items() if theirs in schema}


@cache
def _format_check(form: str) -> SchemaValidator:
    return SchemaValidator(_FORMATS[form]())


def _formatted(form: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        try:
            _format_check(form).validate_python(text)
        except ValidationError as error:
            raise PydanticCustomError("format", "{message}", {"message": f"not a {form}: {text!r}"}) from error
        return text

    return check


def _distinct(items: list[Any]) -> list[Any]:
    for index, item in enumerate(items):
        if item in items[:index]:
            raise PydanticCustomError("distinct", "{message}", {"message": f"item {index} is there twice"})
    return items
