from __future__ import annotations

import enum

import pytest

from dspex.errors import SignatureError
from dspex.kernel.shorthand import as_schema, signature
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.validation import InvalidValuesError


class Team(enum.Enum):
    BILLING = "billing"


class Answer(Signature):
    """Answer it."""

    question: str = Input()
    answer: str = Output()
    sure: float = Output()


def test_a_line_reads_as_fields_with_types() -> None:
    schema = signature("question, context: list[str] -> answer: str, confidence: float")
    assert [(item.name, item.type) for item in schema.inputs] == [
        ("question", {"type": "string"}),
        ("context", {"type": "array", "items": {"type": "string"}}),
    ]
    assert [item.name for item in schema.outputs] == ["answer", "confidence"]
    assert schema.instructions == "Given `question`, `context`, produce `answer`, `confidence`."


def test_the_shorthand_says_what_the_class_says() -> None:
    line = signature("question -> answer, sure: float", "Answer it.", name="Answer")
    assert line == Answer.schema_of()
    assert line.fingerprint == Answer.schema_of().fingerprint


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("Literal['a, b', \"c->d\", 3]", "a, b", "a"),
        ("dict[str, list[int]]", {"x": [1]}, {"x": ["1"]}),
        ("tuple[int, ...]", [1, 2], ["1"]),
        ("int | str", "x", 1.5),
        ("date", "2020-01-02", "soon"),
        ("UUID", "12345678-1234-5678-1234-567812345678", "1"),
    ],
)
def test_types_of_the_shorthand(kind: str, good: object, bad: object) -> None:
    check = signature(f"q -> a: {kind}").answers
    assert check({"a": good}) == {"a": good}
    with pytest.raises(InvalidValuesError):
        check({"a": bad})


def test_what_may_be_none_may_be_absent() -> None:
    for kind in ("str | None", "Optional[str]"):
        assert signature(f"q -> a: {kind}").answers({}) == {"a": None}
        assert signature(f"q: {kind} -> a").questions({}) == {"q": None}


def test_further_types_are_named() -> None:
    check = signature("q -> team: Team", types={"Team": Team}).answers
    assert check({"team": "billing"}) == {"team": "billing"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("question answer", "write `inputs -> outputs`, with one arrow"),
        ("a -> b -> c", "with one arrow"),
        ("a, a -> b", "field 'a' is there twice"),
        ("a -> a", "field 'a' is there twice"),
        ("a ->", "it gives nothing"),
        ("a -> b:", "field 'b' has a colon but no type"),
        ("a -> 2b", "'2b' is not a field name"),
        ("a -> b: strr", r"no type 'strr'; did you mean 'str'\?"),
        ("a -> b: list[", "does not read as one"),
        ("a -> b: print('x')", "write names, brackets"),
        ("a -> b: __import__('os')", "write names, brackets"),
    ],
)
def test_what_does_not_read_is_one_clear_error(text: str, complaint: str) -> None:
    with pytest.raises(SignatureError, match=complaint):
        signature(text)


def test_whatever_a_user_writes_becomes_a_schema() -> None:
    assert as_schema(Answer) == Answer.schema_of()
    assert as_schema(Answer, "Be brief.").instructions == "Be brief."
    assert as_schema(Answer.schema_of()) is Answer.schema_of()
    assert as_schema("a -> b", "Say b.").instructions == "Say b."
    with pytest.raises(SignatureError, match="not int"):
        # Who has no type checker may write this.
        as_schema(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
