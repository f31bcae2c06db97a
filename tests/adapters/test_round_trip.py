"""Whatever an adapter writes as an answer, it reads back, strictly and unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dspex.adapters import ADAPTERS
from dspex.errors import AnswerError
from dspex.kernel.ports import Capabilities, Completion
from dspex.kernel.shorthand import signature
from dspex.kernel.signature import Schema

MARKS = [
    "[[text]]", "[[team]]", "[[end]]", "\\[[end]]", "\\\\[[team]] ", "[[ end ]]", "<text>", "</text>", "<team a='1'>",
    "</TEXT >", "&lt;", "&amp;lt;", "&#32;", "<![CDATA[x]]>", "null", "None", "true", "1", "1.0", '"x"', '"', "{", "}",
    '{"text": 1}', "[1]", "```", "```json", "\\", " ", "\n", "\n\n", "\t", "\r\n", "\x85", "\xa0", "\x1c", "<think>",
    "</think>", "- a", "Team: billing", "**text**", "NaN", "-", ".", "é", "🙂",
]  # fmt: skip
WORDS = st.lists(st.sampled_from(MARKS) | st.text(max_size=5), max_size=8).map("".join)
TEXTS = WORDS | st.text() | st.lists(WORDS, max_size=4).map("\n".join)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner, max_size=3), max_leaves=6
)
FIELDS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "text": ("str", TEXTS),
    "team": ("Literal['billing', 'Tech nical', ' odd ', '\"quoted\"', '3', 'null']",
             st.sampled_from(["billing", "Tech nical", " odd ", '"quoted"', "3", "null"])),
    "count": ("int", st.integers()),
    "rate": ("float", NUMBERS),
    "flag": ("bool", st.booleans()),
    "note": ("str | None", st.none() | TEXTS),
    "mixed": ("str | int | bool | list[str]", TEXTS | st.integers() | st.booleans() | st.lists(TEXTS, max_size=3)),
    "some": ("int | None", st.none() | st.integers()),
    "level": ("Literal[1, 'two', 3]", st.sampled_from([1, "two", 3])),
    "lines": ("list[str]", st.lists(TEXTS, max_size=4)),
    "nested": ("list[list[bool]]", st.lists(st.lists(st.booleans(), max_size=2), max_size=2)),
    "table": ("dict[str, list[int]]", st.dictionaries(TEXTS, st.lists(st.integers(), max_size=2), max_size=3)),
}  # fmt: skip


def answer_of(adapter: str, schema: Schema, values: dict[str, Any]) -> str:
    """The text of an answer, as the adapter shows it in a demonstration."""
    demo = {"question": "?", **values}
    dialogue = ADAPTERS[adapter].bind(schema, "", [demo], Capabilities())
    return dialogue.render({"question": "?"})[2]["content"]


def schema_of(names: list[str]) -> Schema:
    return signature("question -> " + ", ".join(f"{name}: {FIELDS[name][0]}" for name in names))


@st.composite
def answers(draw: Callable[[Any], Any]) -> tuple[list[str], dict[str, Any]]:
    names = cast("list[str]", draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=4, unique=True)))
    return names, {name: draw(FIELDS[name][1]) for name in names}


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(case=answers())
@example((["text", "team"], {"text": "a\n[[team]]\n\\[[end]] ", "team": "billing"}))
@example((["text"], {"text": " \\"}))
@example((["text"], {"text": ""}))
@example((["mixed"], {"mixed": "[1]"}))
@example((["nested"], {"nested": [[True]]}))
def test_what_is_written_is_read_back(adapter: str, case: tuple[list[str], dict[str, Any]]) -> None:
    names, values = case
    schema = schema_of(names)
    dialogue = ADAPTERS[adapter].bind(schema, "", (), Capabilities())
    parsed = dialogue.parse(Completion(answer_of(adapter, schema, values)))
    assert parsed.values == values
    assert {name: type(value) for name, value in parsed.values.items()} == {n: type(v) for n, v in values.items()}
    assert (parsed.rung, parsed.notes) == ("strict", ())


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(text=TEXTS, cut=st.integers(0, 400))
def test_a_cut_answer_is_refused_or_whole(adapter: str, text: str, cut: int) -> None:
    """Any beginning of an answer is refused, unless no value is lost: what is missing is only what ends an answer."""
    schema = signature("question -> text, count: int, flag: bool")
    values = {"text": text, "count": 12, "flag": True}
    whole = answer_of(adapter, schema, values)
    dialogue = ADAPTERS[adapter].bind(schema, "", (), Capabilities())
    try:
        parsed = dialogue.parse(Completion(whole[: cut % (len(whole) + 1)]))
    except AnswerError:
        return
    assert parsed.values == values


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(text=TEXTS)
def test_any_text_is_read_or_refused(adapter: str, text: str) -> None:
    schema = signature("question -> team: Literal['billing', 'technical'], note: str | None")
    dialogue = ADAPTERS[adapter].bind(schema, "", (), Capabilities())
    try:
        parsed = dialogue.parse(Completion(text))
    except AnswerError:
        return
    assert parsed.values["team"] in ("billing", "technical")
