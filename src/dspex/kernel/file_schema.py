"""The published JSON Schema of a program file."""

from __future__ import annotations

from typing import Any

from dspex.kernel.ports import JSON
from dspex.kernel.program import Program
from dspex.kernel.variable import Variable
from dspex.kernel.variables import KINDS


def program_json_schema() -> dict[str, JSON]:
    """JSON Schema (draft 2020-12) of a program file, variables included."""
    schema = Program.model_json_schema()
    definitions = schema["$defs"]
    definitions.update({kind.__name__: _variable(kind) for kind in KINDS.values()})
    definitions["Variable"] = {"oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in KINDS.values()]}
    definitions["Step"]["properties"]["options"] = {
        "type": "object",
        "additionalProperties": {
            "anyOf": [{"$ref": "#/$defs/Variable"}, {"not": {"required": ["$variable"], "type": "object"}}]
        },
        "description": "Values, or variables: objects with the key $variable.",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "DSPEx program"}


def _variable(kind: type[Variable]) -> dict[str, Any]:
    schema = kind.model_json_schema()
    properties = {"$variable": {"const": kind.kind}, **schema["properties"]}
    return {**schema, "properties": properties, "required": ["$variable", *schema.get("required", ())]}
