"""The key of a call: stable for ever, and different for every different request."""

from __future__ import annotations

import subprocess
import sys
from types import MappingProxyType
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.clients.call_key import call_key, settings_text
from dspex.kernel.ports import Message, Request
from dspex.kernel.read_only import read_only

KNOWN = "011c1fe9c300b2689ea846cde757266e0c01cc01"
QUESTION = Request("openai/a", [{"role": "system", "content": "Grüße"}, {"role": "user", "content": "b"}], {"n": 1}, 2)


def messages(*pairs: tuple[str, str]) -> list[Message]:
    return [cast(Message, {"role": role, "content": content}) for role, content in pairs]


def test_the_format_is_the_one_that_files_are_written_in() -> None:
    # Worked out by hand from the description of the format: it must never change without a new version byte.
    assert call_key(QUESTION) == KNOWN
    assert len(KNOWN) == 40


def test_it_is_the_same_in_another_process() -> None:
    code = (
        "from dspex.clients.call_key import call_key; from dspex.kernel.ports import Request; "
        "print(call_key(Request('openai/a', [{'role': 'system', 'content': 'Gr\\u00fc\\u00dfe'}, "
        "{'role': 'user', 'content': 'b'}], {'n': 1}, 2)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == KNOWN


CALL = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
DIFFERENT: list[Request] = [
    QUESTION,
    Request("openai/b", QUESTION.messages, {"n": 1}, 2),
    Request("openai/a", QUESTION.messages, {"n": 1}, 3),
    Request("openai/a", QUESTION.messages, {"n": 2}, 2),
    Request("openai/a", QUESTION.messages, {"n": True}, 2),
    Request("openai/a", QUESTION.messages, {"n": "1"}, 2),
    Request("openai/a", QUESTION.messages, {}, 2),
    Request("openai/a", messages(("user", "Grüße"), ("user", "b")), {"n": 1}, 2),
    Request("openai/a", messages(("system", "Grüße"), ("user", "b"), ("user", "")), {"n": 1}, 2),
    Request("openai/a", messages(("system", "Grüßeb")), {"n": 1}, 2),
    Request("openai/a", messages(("system", "Grüße0:,4:user,1:b")), {"n": 1}, 2),
    Request(
        "openai/a", [{"role": "system", "content": "Grüße", "tool_call_id": "1"}, QUESTION.messages[1]], {"n": 1}, 2
    ),
    Request(
        "openai/a", [{"role": "system", "content": "Grüße", "tool_calls": CALL}, QUESTION.messages[1]], {"n": 1}, 2
    ),
]


def test_every_part_of_a_request_counts() -> None:
    assert len({call_key(request) for request in DIFFERENT}) == len(DIFFERENT)


def test_the_order_of_settings_does_not_count_and_neither_does_the_kind_of_mapping() -> None:
    one = Request("m/a", [], {"a": 1, "b": {"c": 2, "d": 3}})
    other = Request("m/a", [], MappingProxyType({"b": {"d": 3, "c": 2}, "a": 1}))
    assert call_key(one) == call_key(other)


def test_settings_changed_in_place_are_noticed() -> None:
    settings: dict[str, Any] = {"temperature": 0.1, "stop": ["a"]}
    keys = {call_key(Request("m/a", [], settings))}
    settings["temperature"] = 0.2
    keys.add(call_key(Request("m/a", [], settings)))
    settings["stop"].append("b")
    keys.add(call_key(Request("m/a", [], settings)))
    assert len(keys) == 3


def test_a_content_that_is_no_text_counts_too() -> None:
    parts = cast(Message, {"role": "user", "content": [{"type": "text", "text": "b"}]})
    other = cast(Message, {"role": "user", "content": [{"type": "text", "text": "c"}]})
    assert len({call_key(Request("m/a", [item])) for item in (parts, other)}) == 2


def test_half_a_surrogate_pair_has_a_key() -> None:
    assert call_key(Request("m/a", messages(("user", "\ud83d")))) != call_key(Request("m/a", messages(("user", "?"))))


TEXTS = st.text(alphabet="0:,ab é", max_size=6)
DIALOGUES = st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), TEXTS), max_size=4)
REQUESTS = st.tuples(
    TEXTS, DIALOGUES, st.dictionaries(TEXTS, TEXTS | st.integers(0, 3), max_size=2), st.integers(0, 12)
)


@given(REQUESTS, REQUESTS)
def test_two_requests_have_one_key_only_when_they_are_equal(one: Any, other: Any) -> None:
    keys = [call_key(Request(model, messages(*pairs), settings, n)) for model, pairs, settings, n in (one, other)]
    assert (keys[0] == keys[1]) is (one == other)


def test_settings_are_written_canonically() -> None:
    assert settings_text({"b": 1.5, "a": ["ü"]}) == '{"a":["ü"],"b":1.5}'
    with pytest.raises(ValueError, match="JSON"):
        settings_text({"temperature": float("nan")})


def test_parts_of_a_program_are_keyed_by_what_they_hold() -> None:
    # Settings come out of programs, whose lists and mappings refuse to change and are of types of their own.
    settings = {"stop": ["\n\n"], "response_format": {"type": "json_schema", "json_schema": {"name": "Route"}}}
    held = {name: read_only(value) for name, value in settings.items()}
    assert call_key(Request("openai/a", [], held)) == call_key(Request("openai/a", [], settings))
