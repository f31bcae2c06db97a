"""The JSON Schema that goes on the wire, so that a server constrains the answer to it.

It keeps to what servers accept in strict mode: every property required, no open objects, no limits on lengths and
ranges (those stand in the prompt and are checked on the answer). A type that strict mode cannot hold is sent unstrict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dspex.adapters.wording import admitted, is_schema
from dspex.kernel.ports import Settings
from dspex.kernel.signature import FieldSchema, Schema

_KEPT = ("type", "enum", "description")


def response_format(signature: Schema) -> Settings:
    """The settings `{"response_format": ...}` for the outputs of a signature."""
    builder = _Builder()
    properties = {item.name: builder.field(item) for item in signature.outputs}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    if builder.defs:
        schema["$defs"] = builder.defs
    name = re.sub(r"[^A-Za-z0-9_-]", "_", signature.name)[:64] or "answer"
    wire = {"name": name, "schema": schema, "strict": builder.strict}
    return {"response_format": {"type": "json_schema", "json_schema": wire}}


class _Builder:
    """Gathers definitions under names of their own, and whether strict mode can hold everything."""

    def __init__(self) -> None:
        self.strict = True
        self.defs: dict[str, Any] = {}
        self._prefix = ""

    def field(self, item: FieldSchema) -> dict[str, Any]:
        """The schema of an output; one that may be left out may be null instead."""
        self._prefix = f"{item.name}__"
        for name, definition in item.type.get("$defs", {}).items():
            self.defs[self._prefix + name] = {}
            self.defs[self._prefix + name] = self._strictly(definition)
        schema: dict[str, Any] = self._strictly({key: value for key, value in item.type.items() if key != "$defs"})
        if item.optional and "null" not in admitted(item.type):
            schema = {"anyOf": [schema, {"type": "null"}]}
        if item.description and "$ref" not in schema:
            schema["description"] = item.description
        return schema

    def _strictly(self, schema: Any) -> dict[str, Any]:
        if not is_schema(schema):
            self.strict = False
            return {}
        if "$ref" in schema:
            return {"$ref": f"#/$defs/{self._prefix}{str(schema['$ref']).rsplit('/', 1)[-1]}"}
        if len(schema.get("allOf", ())) == 1:
            return self._strictly(schema["allOf"][0])
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return {"anyOf": [self._strictly(item) for item in schema[key]]}
        kept: dict[str, Any] = {key: schema[key] for key in _KEPT if key in schema}
        if "const" in schema:
            kept["enum"] = [schema["const"]]
        if schema.get("type") == "array":
            self._array(schema, kept)
        elif schema.get("type") == "object":
            self._object(schema, kept)
        return kept

    def _array(self, schema: Mapping[str, Any], kept: dict[str, Any]) -> None:
        if "prefixItems" in schema:
            self.strict = False
            kept["prefixItems"] = [self._strictly(item) for item in schema["prefixItems"]]
        else:
            kept["items"] = self._strictly(schema.get("items"))

    def _object(self, schema: Mapping[str, Any], kept: dict[str, Any]) -> None:
        if "properties" not in schema:
            self.strict = False
            if is_schema(schema.get("additionalProperties")):
                kept["additionalProperties"] = self._strictly(schema["additionalProperties"])
            return
        kept["properties"] = {name: self._strictly(item) for name, item in schema["properties"].items()}
        kept["additionalProperties"] = False
        # Strict mode wants every property required; one with a default is then always written out.
        kept["required"] = list(schema["properties"])
