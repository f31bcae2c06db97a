"""Strict validators built from JSON Schemas, so that a program behaves the same from a class and from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic_core import CoreSchema, SchemaError, SchemaValidator, ValidationError, core_schema

from dspex.errors import SignatureError
from dspex.kernel.faults import faults, sentence
from dspex.kernel.json_schema import Builder


class InvalidValuesError(ValueError):
    """Values that do not fit. `problems` holds one (path, message) pair for each fault."""

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        self.problems = problems
        super().__init__(sentence(problems))


class Validator:
    """Checks a mapping of named values against JSON Schemas.

    `fields` maps a name to (JSON Schema, whether it may be absent, its default then). Strict: `"3"` is not an integer.
    Names that are no field are left out, or with `extra="forbid"` faults.
    """

    __slots__ = ("_check", "names")

    def __init__(
        self, fields: Mapping[str, tuple[Mapping[str, Any], bool, Any]], extra: Literal["ignore", "forbid"] = "ignore"
    ) -> None:
        self.names = frozenset(fields)
        entries: dict[str, core_schema.TypedDictField] = {}
        definitions: list[CoreSchema] = []
        for name, (schema, optional, default) in fields.items():
            entry = _built(name, schema, definitions)
            if optional:
                entry = core_schema.with_default_schema(entry, default=default)
            entries[name] = core_schema.typed_dict_field(entry, required=not optional)
        whole: CoreSchema = core_schema.typed_dict_schema(entries, extra_behavior=extra, strict=False)
        if definitions:
            whole = core_schema.definitions_schema(whole, definitions)
        try:
            self._check = SchemaValidator(whole, {"strict": True, "regex_engine": "python-re"}).validate_python
        except SchemaError as error:
            raise SignatureError(f"a JSON Schema of {', '.join(fields)} cannot be enforced: {error}") from error

    def __call__(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the declared fields, defaults filled in. Raises InvalidValuesError naming every fault."""
        try:
            result: dict[str, Any] = self._check(values)
        except ValidationError as error:
            raise InvalidValuesError(faults(error, self.names)) from None
        return result


def _built(name: str, schema: Mapping[str, Any], definitions: list[CoreSchema]) -> CoreSchema:
    try:
        builder = Builder(name, schema.get("$defs", {}))
        entry = builder.build({key: value for key, value in schema.items() if key != "$defs"})
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise SignatureError(f"field {name!r}: its JSON Schema is malformed: {error}") from error
    definitions.extend(builder.definitions.values())
    return entry
