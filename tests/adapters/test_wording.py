"""What prompts say of types."""

from __future__ import annotations

import datetime
import enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from dspex.adapters.wording import field_line, type_words
from dspex.kernel.shorthand import signature
from dspex.kernel.signature import Input, Output, Signature


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Node(BaseModel):
    name: str
    inner: list[Node] = []


class Everything(Signature):
    text: str = Input("what was written")
    score: int = Output("how sure you are", ge=0, le=10)
    rate: float = Output(gt=0)
    size: Size = Output()
    size_or_none: Size | None = Output(default=None)
    day: datetime.date = Output()
    code: str = Output(pattern="^[A-Z]+$", max_length=5)
    items: list[Literal["a", "b"]] = Output(min_length=1)
    pair: tuple[int, str] = Output()
    counts: dict[str, int] = Output()
    flag: bool = Output()
    node: Node = Output()


SCHEMA = Everything.schema_of()
OUTPUTS = {item.name: item for item in SCHEMA.outputs}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("score", "integer, 0 to 10"),
        ("rate", "number, more than 0"),
        ("size", "one of: small; large"),
        ("size_or_none", "one of: small; large, or null"),
        ("day", "date as YYYY-MM-DD"),
        ("code", "text, at most 5 characters, matching the regular expression ^[A-Z]+$"),
        ("items", "JSON list of one of: a; b, at least 1 items"),
        ("pair", "JSON list of exactly: integer, text"),
        ("counts", "JSON object, each value integer"),
        ("flag", "true or false"),
    ],
)
def test_type_in_words(name: str, words: str) -> None:
    assert type_words(OUTPUTS[name].type) == words


def test_a_recursive_model_is_described_by_its_schema() -> None:
    words = type_words(OUTPUTS["node"].type)
    assert words.startswith("JSON object of this schema: {")
    assert '"$defs"' in words
    assert '"inner"' in words


def test_a_field_has_its_description_and_says_when_it_may_be_left_out() -> None:
    assert field_line(OUTPUTS["score"], output=True) == "- score (integer, 0 to 10): how sure you are"
    assert field_line(OUTPUTS["size_or_none"], output=True) == (
        "- size_or_none (one of: small; large, or null; may be left out)"
    )
    assert field_line(SCHEMA.inputs[0], output=False) == "- text (text): what was written"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("a", "b c"), "one of: a; b c"),
        (("a;b", "c"), 'one of: "a;b"; "c"'),
        ((1, "one"), "one of: 1; one"),
    ],
)
def test_admissible_values_are_quoted_where_they_would_be_misread(values: tuple[Any, ...], words: str) -> None:
    schema = signature(f"text -> label: Literal[{', '.join(repr(value) for value in values)}]")
    assert type_words(schema.outputs[0].type) == words
