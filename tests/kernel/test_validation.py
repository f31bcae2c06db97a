from __future__ import annotations

import datetime as dt
import enum
import json
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

from dspex.errors import SignatureError
from dspex.kernel.signature import Output, Schema, Signature
from dspex.kernel.validation import InvalidValuesError, Validator
from tests.kernel.generated import VALUES


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Node(BaseModel):
    value: int = Field(ge=0)
    children: list[Node] = []  # pydantic copies it for each instance


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel, extra="forbid"):
    kind: Literal["dog"]
    name: str


@dataclass
class Place:
    city: str
    zip: str = "-"


class Pair(NamedTuple):
    left: int
    right: str = "r"


TYPES: dict[str, Any] = {
    "int": int,
    "str": str,
    "float": float,
    "bool": bool,
    "none": None,
    "date": dt.date,
    "datetime": dt.datetime,
    "aware": AwareDatetime,
    "time": dt.time,
    "duration": dt.timedelta,
    "uuid": UUID,
    "decimal": Annotated[Decimal, Field(allow_inf_nan=False)],
    "price": Annotated[Decimal, Field(ge=0, max_digits=6, decimal_places=2)],
    "address": IPv4Address,
    "enum": Color,
    "level": Level,
    "literal": Literal["a", "b", 3],
    "optional": int | None,
    "union": int | str | list[bool],
    "bounded": Annotated[int, Field(ge=-5, le=5, multiple_of=5)],
    "share": Annotated[float, Field(gt=0, lt=1)],
    "word": Annotated[str, Field(min_length=1, max_length=3, pattern="^[a-z]+$")],
    "list": Annotated[list[int], Field(min_length=1, max_length=2)],
    "set": Annotated[set[int], Field(max_length=3)],
    "frozenset": frozenset[str],
    "tuple": tuple[int, str],
    "tuples": tuple[int, ...],
    "named tuple": Pair,
    "dict": Annotated[dict[str, int], Field(max_length=2)],
    "numbered": dict[int, str],
    "by enum": dict[Color, int],
    "model": Node,
    "models": list[Node | Place],
    "tagged": Annotated[Cat | Dog, Field(discriminator="kind")],
    "dataclass": Place,
    "since": Annotated[dt.date, Field(ge=dt.date(2000, 1, 1))],
}
NODES = st.recursive(
    st.builds(Node, value=st.integers(0, 9)),
    lambda inner: st.builds(Node, value=st.integers(0, 9), children=st.lists(inner, max_size=2)),
    max_leaves=4,
)
PETS = st.one_of(
    st.builds(Cat, kind=st.just("cat"), lives=st.integers()), st.builds(Dog, kind=st.just("dog"), name=st.text())
)
GENERATED: dict[str, st.SearchStrategy[Any]] = {
    **{
        name: st.from_type(TYPES[name])
        for name in ("int", "str", "bool", "date", "uuid", "enum", "level", "optional", "address")
    },
    "none": st.none(),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "datetime": st.datetimes(timezones=st.sampled_from([None, dt.UTC])),
    "aware": st.datetimes(timezones=st.just(dt.UTC)),
    "time": st.times(),
    "duration": st.timedeltas(dt.timedelta(days=-999), dt.timedelta(days=999)),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False),
    "price": st.decimals(0, 9999, places=2),
    "literal": st.sampled_from(["a", "b", 3]),
    "union": st.one_of(st.integers(), st.text(), st.lists(st.booleans())),
    "bounded": st.sampled_from([-5, 0, 5]),
    "share": st.floats(0, 1, exclude_min=True, exclude_max=True),
    "word": st.from_regex("[a-z]{1,3}", fullmatch=True),
    "list": st.lists(st.integers(), min_size=1, max_size=2),
    "set": st.sets(st.integers(), max_size=3),
    "frozenset": st.frozensets(st.text()),
    "tuple": st.tuples(st.integers(), st.text()),
    "tuples": st.lists(st.integers()).map(tuple),
    "named tuple": st.builds(Pair, st.integers(), st.text()),
    "dict": st.dictionaries(st.text(), st.integers(), max_size=2),
    "numbered": st.dictionaries(st.integers(), st.text()),
    "by enum": st.dictionaries(st.sampled_from(Color), st.integers()),
    "model": NODES,
    "models": st.lists(st.one_of(NODES, st.builds(Place, st.text(), st.text()))),
    "tagged": PETS,
    "dataclass": st.builds(Place, st.text(), st.text()),
    "since": st.dates(dt.date(2000, 1, 1)),
}
AGREEING = sorted(
    set(TYPES) - {"date", "datetime", "aware", "time", "duration", "since", "literal", "level", "address", "numbered"}
)
"""Types whose refusals are pydantic's too. The others are stricter here, which a test below says of each."""


def schema_of(name: str) -> Schema:
    made: Any = type("Made", (Signature,), {"__annotations__": {"x": TYPES[name]}, "x": Output()})
    schema: Schema = made.schema_of()
    return Schema.model_validate_json(schema.model_dump_json())  # as a file would give it


SCHEMAS = {name: schema_of(name) for name in TYPES}
ADAPTERS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(kind) for name, kind in TYPES.items()}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_value_of_a_type_passes_and_means_the_same(name: str) -> None:
    adapter, check = ADAPTERS[name], SCHEMAS[name].answers

    @settings(max_examples=30, deadline=None)
    @given(GENERATED[name])
    def holds(value: Any) -> None:
        data = adapter.dump_python(value, mode="json")
        kept = check({"x": data})["x"]
        assert adapter.validate_json(json.dumps(kept)) == adapter.validate_json(json.dumps(data))

    holds()


@pytest.mark.parametrize("name", AGREEING)
def test_any_json_is_accepted_or_refused_as_pydantic_does(name: str) -> None:
    adapter, check = ADAPTERS[name], SCHEMAS[name].answers
    near = GENERATED[name].map(lambda value: adapter.dump_python(value, mode="json"))
    shaped = st.one_of(
        VALUES, near, near.map(lambda value: [value]), near.map(str), near.map(lambda value: {"value": value})
    )

    @settings(max_examples=60, deadline=None)
    @given(shaped)
    def agrees(value: Any) -> None:
        try:
            adapter.validate_json(json.dumps(value), strict=True)
        except ValidationError:
            with pytest.raises(InvalidValuesError):
                check({"x": value})
        else:
            check({"x": value})

    agrees()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("date", 5), ("date", "5"), ("date", "2020-13-01"), ("date", "tomorrow"), ("datetime", "1700000000"),
        ("aware", "2020-01-01T00:00:00"), ("time", "25:00"), ("duration", "60"), ("duration", "an hour"),
        ("since", "1999-12-31"), ("literal", True), ("literal", "c"), ("level", True), ("level", 3),
        ("address", "1.2.3"), ("address", "::1"), ("numbered", {"one": "x"}), ("price", -1), ("price", 1.234),
        ("price", "12345.00"), ("price", "much"), ("decimal", True), ("uuid", "1234"), ("set", [1, 2, 3, 4]),
        ("named tuple", []), ("named tuple", [1, "a", 2]), ("tagged", {"kind": "cow"}),
        ("tagged", {"kind": "dog", "name": "Rex", "age": 3}), ("int", "3"), ("int", 3.5), ("int", True), ("bool", 1),
        ("str", 3), ("float", float("nan")), ("by enum", {"green": 1}),
    ],
)  # fmt: skip
def test_what_a_type_refuses(name: str, value: object) -> None:
    with pytest.raises(InvalidValuesError) as caught:
        SCHEMAS[name].answers({"x": value})
    assert all(path.startswith("x") for path, _ in caught.value.problems)


def test_defaults_deep_inside_are_filled_in() -> None:
    assert SCHEMAS["model"].answers({"x": {"value": 1}}) == {"x": {"value": 1, "children": []}}
    assert SCHEMAS["named tuple"].answers({"x": [1]}) == {"x": [1, "r"]}
    assert SCHEMAS["tagged"].answers({"x": {"kind": "cat", "age": 3}}) == {"x": {"kind": "cat", "lives": 9}}


def test_an_item_written_twice_is_in_a_set_once() -> None:
    assert SCHEMAS["set"].answers({"x": [3, 1, 3, 1, 2]}) == {"x": [3, 1, 2]}


def test_every_fault_is_named_at_once_with_what_was_given() -> None:
    check = Validator(
        {"team": ({"enum": ["a", "b"]}, False, None), "sure": ({"type": "number", "maximum": 1}, False, None)}, "forbid"
    )
    with pytest.raises(InvalidValuesError) as caught:
        check({"taem": "a", "sure": 2})
    assert caught.value.problems == (
        ("team", "is missing"),
        ("sure", "should be less than or equal to 1, got 2"),
        ("taem", "is not a known key; did you mean 'team'?"),
    )
    with pytest.raises(InvalidValuesError, match="'team' should be 'a' or 'b', got 'c'"):
        check({"team": "c", "sure": 1})


def test_other_names_are_left_out_unless_forbidden() -> None:
    check = Validator({"x": ({}, True, None)})
    assert check({"y": 1}) == {"x": None}
    assert check.names == {"x"}


def test_an_open_value_is_made_json() -> None:
    check = Validator({"x": ({}, False, None)})
    assert check({"x": {"when": dt.date(2020, 1, 2)}}) == {"x": {"when": "2020-01-02"}}


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "strng"}, "unknown type 'strng'"),
        ({"type": "array", "items": 5}, "holds 5 where a schema belongs"),
        ({"$ref": "#/$defs/Gone"}, "refers to 'Gone', which is not in its"),
        ({"type": "object", "properties": []}, "its JSON Schema is malformed"),
        ({"type": "string", "pattern": "("}, "cannot be enforced"),
        ({"not": {"type": "string"}}, "uses 'not', which is not enforced here"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "'allOf' of several"),
        ({"type": "string", "format": "date", "formatMinimum": "soon"}, "malformed"),
        ({"type": "integer", "minimum": "low"}, "cannot be enforced"),
    ],
)
def test_a_json_schema_that_cannot_be_enforced_is_refused(schema: dict[str, object], complaint: str) -> None:
    with pytest.raises(SignatureError, match=complaint):
        Validator({"x": (schema, False, None)})


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": ["integer", "null"]}, [1, None], ["1"]),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
            [{"a": 1}],
            [{}, {"a": "b"}],
        ),
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}},
            [{"b": 1}],
            [{"b": "c"}],
        ),
        ({"type": "object", "patternProperties": {"^a": {"type": "integer"}}}, [{"ab": 1}], [{"b": 1}, {"ab": "c"}]),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}, "minItems": 1},
            [[1], [1, "a", "b"]],
            [[], [1, 2]],
        ),
        ({"enum": [None, 1, "x", [1, 2]]}, [None, 1, "x", [1, 2]], [True, [2, 1], "y"]),
        ({"type": "string", "format": "email"}, ["a@b.org"], ["a@b", "a b@c.de"]),
        ({"type": "string", "format": "regex"}, ["a+"], ["("]),
        ({"type": "string", "format": "base64"}, ["aGk="], ["!"]),
        ({"type": "string", "format": "uri"}, ["https://a.org/x"], ["no uri"]),
        (
            {"type": "string", "contentMediaType": "application/json", "contentSchema": {"type": "integer"}},
            ["3"],
            ["'", '"a"'],
        ),
        ({"type": "string", "format": "our own"}, ["anything"], [3]),
    ],
)
def test_json_schemas_of_other_hands(schema: dict[str, object], good: list[object], bad: list[object]) -> None:
    check = Validator({"x": (schema, False, None)})
    for value in good:
        assert check({"x": value}) == {"x": value}
    for value in bad:
        with pytest.raises(InvalidValuesError):
            check({"x": value})
