"""The JSON Schema on the wire keeps to strict mode, or says that it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, Field

from dspex.adapters.response_schema import response_format
from dspex.kernel.canonical import is_list, is_mapping
from dspex.kernel.shorthand import signature
from dspex.kernel.signature import Input, Output, Schema, Signature


class Leaf(BaseModel):
    kind: str = Field(min_length=1, description="what it is")
    size: int = 1
    below: list[Leaf] = []


class Tree(Signature):
    text: str = Input()
    root: Leaf = Output()
    other: Leaf | None = Output(default=None)
    note: str = Output("in a word", default="none", max_length=9)


def wire(schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = response_format(schema)["response_format"]["json_schema"]
    return found


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if is_mapping(schema):
        if schema.get("type") == "object":
            yield dict(schema)
        for value in schema.values():
            yield from objects(value)
    elif is_list(schema):
        for item in schema:
            yield from objects(item)


def test_nested_and_recursive_models_are_strict() -> None:
    found = wire(Tree.schema_of())
    assert found["strict"] is True
    schema = found["schema"]
    assert schema["properties"]["root"] == {"$ref": "#/$defs/root__Leaf"}
    assert schema["properties"]["note"] == {
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "description": "in a word",
    }
    leaf = schema["$defs"]["root__Leaf"]
    assert leaf["properties"]["below"] == {"type": "array", "items": {"$ref": "#/$defs/root__Leaf"}}
    assert leaf["properties"]["kind"] == {"type": "string", "description": "what it is"}
    for item in objects(schema):
        assert item["additionalProperties"] is False
        assert item["required"] == list(item["properties"])


@pytest.mark.parametrize("kind", ["dict[str, int]", "tuple[int, str]", "list", "dict"])
def test_what_strict_mode_cannot_hold_is_sent_unstrict(kind: str) -> None:
    assert wire(signature(f"text -> value: {kind}"))["strict"] is False
