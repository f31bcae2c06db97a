from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AfterValidator, BaseModel, Field

from dspex.errors import DataError, SignatureError
from dspex.kernel.signature import Example, FieldSchema, Input, Output, Schema, Signature
from dspex.kernel.validation import InvalidValuesError


class Team(enum.Enum):
    BILLING = "billing"
    TECHNICAL = "technical"


class Person(BaseModel):
    name: str
    born: dt.date | None = None
    friends: list[Person] = []  # pydantic copies it for each instance


class Route(Signature):
    """Route a ticket
    to the team that solves it.

    - keep the indentation
      of lists
    """

    ticket: str = Input()
    urgency: int = Input("how soon", default=2, ge=1, le=5)
    team: Team = Output("who answers")
    note: str | None = Output(default=None, max_length=10)


def answer(signature: type[Signature], value: object) -> Any:
    return signature.schema_of().answers({"answer": value})["answer"]


def test_a_class_becomes_data() -> None:
    schema = Route.schema_of()
    assert schema.name == "Route"
    assert schema.instructions == ("Route a ticket\nto the team that solves it.\n\n- keep the indentation\n  of lists")
    assert [item.name for item in schema.inputs] == ["ticket", "urgency"]
    assert schema.inputs[1] == FieldSchema(
        name="urgency",
        type={"type": "integer", "minimum": 1, "maximum": 5},
        description="how soon",
        optional=True,
        default=2,
    )
    assert schema.outputs[0].type == {
        "$ref": "#/$defs/Team",
        "$defs": {"Team": {"enum": ["billing", "technical"], "type": "string"}},
    }
    assert (schema.outputs[1].optional, schema.outputs[1].default) == (True, None)


def test_a_schema_survives_json_and_enforces_the_same() -> None:
    schema = Route.schema_of()
    read = Schema.model_validate_json(schema.model_dump_json())
    assert read == schema
    assert read.fingerprint == schema.fingerprint
    for given in ({"team": "billing"}, {"team": "billing", "note": "short"}):
        assert read.answers(given) == schema.answers(given)
    for given in ({"team": "sales"}, {"team": "billing", "note": "much too long"}, {}):
        with pytest.raises(InvalidValuesError) as first:
            schema.answers(given)
        with pytest.raises(InvalidValuesError) as second:
            read.answers(given)
        assert first.value.problems == second.value.problems


def test_optional_outputs_take_their_default_and_required_ones_are_missed() -> None:
    assert Route.schema_of().answers({"team": "billing"}) == {"team": "billing", "note": None}
    with pytest.raises(InvalidValuesError, match="'team' is missing"):
        Route.schema_of().answers({"note": "x"})


def test_a_subclass_adds_fields_and_inherits_the_instructions() -> None:
    class Base(Signature):
        """Answer as a lawyer."""

        question: str = Input()

    class Careful(Base):
        answer: str = Output()
        sources: list[str] = Output()

    class Own(Careful):
        """Answer as a judge."""

        question: str = Input("the case")

    assert Careful.schema_of().instructions == "Answer as a lawyer."
    assert [item.name for item in Careful.schema_of().outputs] == ["answer", "sources"]
    assert Own.schema_of().instructions == "Answer as a judge."
    assert Own.schema_of().inputs[0].description == "the case"
    with pytest.raises(SignatureError, match="signature Base: it gives nothing; add a field with `= Output"):
        Base.schema_of()


def test_without_a_docstring_the_fields_speak() -> None:
    class Plain(Signature):
        question: str = Input()
        context: str = Input()
        answer: str = Output()

    assert Plain.schema_of().instructions == "Given `question`, `context`, produce `answer`."


def test_a_forward_reference_is_resolved_when_it_can_be() -> None:
    class Early(Signature):
        question: str = Input()
        answer: Later = Output()

    with pytest.raises(SignatureError, match="signature Early: the type 'Later' does not exist"):
        Early.schema_of()

    class Later(BaseModel):
        value: int

    Early.model_rebuild()
    assert answer(Early, {"value": 3}) == {"value": 3}


def test_recursive_models_are_enforced_to_the_bottom() -> None:
    class Meet(Signature):
        question: str = Input()
        answer: Person = Output()

    good: dict[str, Any] = {"name": "A", "friends": [{"name": "B", "born": "2001-02-03", "friends": []}]}
    assert answer(Meet, good)["friends"][0]["born"] == "2001-02-03"
    with pytest.raises(InvalidValuesError, match=r"'answer.friends.0.born' .*2001-02-30"):
        answer(Meet, {"name": "A", "friends": [{"name": "B", "born": "2001-02-30"}]})
    typed = Meet.named(question="?", answer=good)
    assert typed.answer.friends[0].born == dt.date(2001, 2, 3)


def test_values_come_back_typed() -> None:
    class Rich(Signature):
        question: str = Input()
        when: dt.datetime = Output()
        price: Decimal = Output()
        id: UUID = Output()
        seen: set[dt.date] = Output()
        pair: tuple[int, str] = Output()
        loud: Annotated[str, AfterValidator(str.upper)] = Output()

    values = Rich.schema_of().answers(
        {
            "when": "2020-01-02T03:04:05Z", "price": "1.50", "id": "12345678-1234-5678-1234-567812345678",
            "seen": ["2020-01-01", "2020-01-01"], "pair": [1, "a"], "loud": "quiet",
        }
    )  # fmt: skip
    assert values["seen"] == ["2020-01-01"]
    typed = Rich.named(question="?", **values)
    assert typed.when == dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert (typed.price, typed.pair, typed.loud) == (Decimal("1.50"), (1, "a"), "QUIET")
    assert typed.seen == {dt.date(2020, 1, 1)}


class Opaque:
    pass


@pytest.mark.parametrize("kind", [Opaque, Callable[[int], int], type, list[Opaque]])
def test_what_cannot_be_described_is_refused_at_the_definition(kind: Any) -> None:
    with pytest.raises(
        SignatureError, match=r"signature Bad: the type of field 'answer' cannot be described to a model"
    ):
        type("Bad", (Signature,), {"__annotations__": {"answer": kind}, "answer": Output()})


def test_mistakes_in_a_class_are_each_one_clear_error() -> None:
    with pytest.raises(SignatureError, match=r"signature Open: the type of output 'answer' is open \(Any\)"):

        class Open(Signature):  # pyright: ignore[reportUnusedClass]
            answer: Any = Output()

    with pytest.raises(SignatureError, match=r"signature Bare: field 'answer' needs `= Input\(\)` or `= Output\(\)`"):

        class Bare(Signature):  # pyright: ignore[reportUnusedClass]
            answer: str
            other: str = Output()

    with pytest.raises(SignatureError, match=r"signature Untyped: field 'answer' has no type; write `answer: str"):

        class Untyped(Signature):  # pyright: ignore[reportUnusedClass]
            answer = Output()

    with pytest.raises(SignatureError, match=r"signature Wrong: the default of 'answer' should be a valid integer"):

        class Wrong(Signature):  # pyright: ignore[reportUnusedClass]
            answer: int = Output(default="three")

    with pytest.raises(SignatureError, match=r"signature Hidden: .*underscore"):

        class Hidden(Signature):  # pyright: ignore[reportUnusedClass]
            _answer: str = Output()

    with pytest.raises(SignatureError, match=r"no constraint 'max_lenght'; did you mean 'max_length'\?"):
        Output(max_lenght=3)

    with pytest.raises(SignatureError, match=r"signature Unfit: the constraint 'ge' does not fit"):

        class Unfit(Signature):  # pyright: ignore[reportUnusedClass]
            answer: Annotated[int | Team, Field(ge=1)] = Output()


def test_constraints_on_a_union_reach_each_branch() -> None:
    class Either(Signature):
        answer: Annotated[int | float, Field(ge=0, lt=10)] = Output()

    assert answer(Either, 9.5) == 9.5
    with pytest.raises(InvalidValuesError, match="greater than or equal to 0"):
        answer(Either, -1)


def test_titles_do_not_enter_but_fields_named_title_do() -> None:
    class Book(BaseModel):
        title: str = Field(title="A Title", default="none", examples=["title"])

    class Find(Signature):
        answer: Book = Output()

    described = Find.schema_of().outputs[0].type["$defs"]["Book"]
    assert described == {
        "type": "object",
        "properties": {"title": {"type": "string", "default": "none", "examples": ["title"]}},
    }
    assert answer(Find, {}) == {"title": "none"}


def test_aliases_of_nested_models_are_what_is_asked_for_and_read_back() -> None:
    class Aliased(BaseModel):
        kind: Literal["a"] = Field(alias="class")

    class Pick(Signature):
        answer: Aliased = Output()

    assert answer(Pick, {"class": "a"}) == {"class": "a"}
    assert Pick.named(answer={"class": "a"}).answer.kind == "a"


def test_a_schema_in_a_file_is_checked_too() -> None:
    field = {"name": "x", "type": {"type": "string"}}
    with pytest.raises(SignatureError, match="signature 's': field 'x' is there twice"):
        Schema.model_validate({"name": "s", "inputs": [field], "outputs": [field]})
    with pytest.raises(SignatureError, match="'no name' is not a field name"):
        Schema.model_validate({"outputs": [{**field, "name": "no name"}]})
    with pytest.raises(SignatureError, match="field 'x': 'tpye' is not a known key; did you mean 'type'"):
        Schema.model_validate({"outputs": [{"name": "x", "type": {}, "tpye": 1}]})


def test_with_output_forgets_what_was_computed_before() -> None:
    schema = Route.schema_of()
    before = schema.fingerprint, schema.answers.names
    more = schema.with_output(FieldSchema(name="reasoning", type={"type": "string"}), first=True)
    assert more.answers.names == {"reasoning", *before[1]}
    assert more.fingerprint != before[0]
    assert [item.name for item in more.outputs] == ["reasoning", "team", "note"]
    assert more.with_output(FieldSchema(name="team", type={"type": "string"})) is more


def test_the_type_of_a_field_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="cannot be changed"):
        Route.schema_of().outputs[0].type["enum"] = ["sales"]


def test_an_example_is_json_with_an_id_by_content() -> None:
    first = Example.of({"team": Team.BILLING, "when": dt.date(2020, 1, 2)})
    assert first.values == {"team": "billing", "when": "2020-01-02"}
    assert first.id == Example.of({"when": "2020-01-02", "team": "billing"}).id
    assert Example.of({"team": "billing"}).id != first.id
    assert (first["team"], first.get("nothing", 3)) == ("billing", 3)
    with pytest.raises(DataError, match="field 'x'"):
        Example.of({"x": object()})
