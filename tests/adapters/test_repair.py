"""Damaged JSON is read as what it was, or refused: nothing in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dspex.adapters import ADAPTERS
from dspex.adapters.objects import find_objects, repaired
from dspex.errors import AnswerError, CutOffError
from dspex.kernel.ports import Capabilities, Completion
from dspex.kernel.shorthand import signature

SCHEMA = signature("question -> text, lines: list[str], count: int, flag: bool, note: str | None")
PIECES = [
    "a", "it's", '"', "'", ",", ":", "{", "}", "[", "]", " ", "\n", "\\", "//", "#", "count", '"count": 1', "é", "1",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
ANSWERS = st.fixed_dictionaries(
    {
        "text": TEXTS,
        "lines": st.lists(TEXTS, max_size=3),
        "count": st.integers(0, 200),
        "flag": st.booleans(),
        "note": st.none() | TEXTS,
    }
)


def read(text: str) -> dict[str, Any] | None:
    """What the JSON adapter reads, None where it refuses."""
    dialogue = ADAPTERS["json"].bind(SCHEMA, "", (), Capabilities())
    try:
        return dialogue.parse(Completion(text)).values
    except AnswerError:
        return None


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def structure(text: str) -> list[int]:
    """Where the signs of a valid JSON text stand that are not inside its strings, quotation marks included."""
    places: list[int] = []
    inside = False
    index = 0
    while index < len(text):
        sign = text[index]
        if inside and sign == "\\":
            index += 1
        elif sign == '"':
            inside = not inside
            places.append(index)
        elif not inside and sign in "{}[],:":
            places.append(index)
        index += 1
    return places


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(values=ANSWERS, data=st.data())
def test_a_sign_lost(values: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(values)
    place = data.draw(st.sampled_from(structure(text)))
    assert read(text[:place] + text[place + 1 :]) in (values, None)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(values=ANSWERS)
def test_an_answer_written_in_python(values: dict[str, Any]) -> None:
    assert read(repr(values)) in (values, None)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(values=ANSWERS)
def test_quotation_marks_not_escaped(values: dict[str, Any]) -> None:
    whole = json.dumps(values, ensure_ascii=False)
    text = whole.replace('\\"', '"')
    # Some damage makes other JSON that is valid: nobody can tell.
    assume("\\\\" not in whole and not is_json(text))
    assert read(text) in (values, None)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(values=ANSWERS, data=st.data())
def test_an_answer_cut_anywhere(values: dict[str, Any], data: st.DataObject) -> None:
    for text in (json.dumps(values), repr(values), json.dumps({"answer": values}), json.dumps([values])):
        assert read(text[: data.draw(st.integers(0, len(text) - 1))]) is None


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{'a': 1,}", {"a": 1}),
        ("{a: 'b', // why\n c: [1, 2,]}", {"a": "b", "c": [1, 2]}),
        ("{'a': True, 'b': None}", {"a": True, "b": None}),
        ('{"a": "say \\"no\\""', None),
        ("['it's', 'b']", None),
        ('{"a": "x" + "y"}', None),
        ('{"a": 1} {"b": 2}', None),
    ],
)
def test_what_is_repaired(source: str, value: Any) -> None:
    assert repaired(source) == value


def test_objects_are_found_in_prose_in_order() -> None:
    found = list(find_objects('a {b} {"c": {"d": 1}} ```[{\'e\': 2}]``` \\frac{1}{x'))
    assert [item.value for item in found if item.value is not None] == [{"c": {"d": 1}}, [{"e": 2}]]
    with pytest.raises(CutOffError, match="stops inside the JSON"):
        list(find_objects('{"a": 1} then {"b": [1, '))
