from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from dspex.kernel.file_schema import program_json_schema
from dspex.kernel.program import Program, Step
from dspex.kernel.shorthand import signature
from dspex.kernel.variables import Boolean, Choice, Demos, Float, Integer, Subset, Text
from tests.kernel.generated import FEW, programs

SCHEMA: Any = json.loads(json.dumps(program_json_schema()))
KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip
HANDLED = {
    "$ref", "$defs", "$schema", "anyOf", "oneOf", "not", "const", "enum", "type", "properties", "required", "items",
    "additionalProperties", "title", "description", "default",
}  # fmt: skip


def fits(value: Any, schema: Any) -> bool:
    """As much of JSON Schema as the published one uses, and not a keyword more."""
    if isinstance(schema, bool):
        return schema
    assert schema.keys() <= HANDLED
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[-1]])
    if "anyOf" in schema and not any(fits(value, item) for item in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(fits(value, item) for item in schema["oneOf"]) != 1:
        return False
    if "not" in schema and fits(value, schema["not"]):
        return False
    if value != schema.get("const", value) or value not in schema.get("enum", [value]):
        return False
    kind = schema.get("type")
    if kind and (not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return False
    return parts_fit(value, schema)


def parts_fit(value: Any, schema: Any) -> bool:
    if isinstance(value, list):
        return all(fits(item, schema.get("items", True)) for item in value)  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return True
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    return all(name in value for name in schema.get("required", ())) and all(
        fits(item, known.get(name, rest))
        for name, item in value.items()  # pyright: ignore[reportUnknownVariableType]
    )


@FEW
@given(programs())
def test_every_program_fits_the_published_schema(program: Program) -> None:
    assert fits(json.loads(json.dumps(program.to_data())), SCHEMA)


def everything() -> Any:
    options = {
        "a": Float(0, 1), "b": Integer(0, 1), "c": Boolean(), "d": Choice(1, "x"), "e": Text("x"),
        "f": Demos(2, default=[{"q": 1}]), "g": Subset(["x", 2]), "h": {"plain": [None]},
    }  # fmt: skip
    step = Step(name="draft", module="predict", signature=signature("q -> a"), options=options)
    return json.loads(json.dumps(Program(name="p", pipeline=[step]).to_data()))


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"name": 3},
        {"piepline": []},
        {"pipeline": {}},
        {"constraints": [1]},
        {"pipeline": [{"name": "x", "module": "y"}]},
        {"pipeline": [{"name": "x", "module": "y", "signature": {}, "options": {"z": {"$variable": "flaot"}}}]},
        {"pipeline": [{"name": "x", "module": "y", "signature": {}, "options": {"z": {"$variable": "float"}}}]},
    ],
)
def test_what_is_no_program_does_not_fit(change: dict[str, object]) -> None:
    assert fits(everything(), SCHEMA)
    assert not fits({**everything(), **change}, SCHEMA)


def test_the_schema_names_its_draft() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["title"] == "DSPEx program"
