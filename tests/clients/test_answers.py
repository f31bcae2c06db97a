"""Reading replies: the forms in which servers say the same thing."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dspex.clients.answers import Reply, read_answer, read_failure, retry_after
from dspex.errors import ContextLengthError, LMError, RefusedError, RequestError
from dspex.kernel.ports import Request

QUESTION = Request("x/y", [{"role": "user", "content": "x" * 30}])
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def reply(document: Any, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(document).encode())


def chosen(content: Any = "text", reason: Any = "stop", usage: Any = None, **message: Any) -> Reply:
    choice = {"message": {"content": content, **message}, "finish_reason": reason}
    return reply({"choices": [choice], "usage": usage})


@pytest.mark.parametrize(
    ("reason", "ours"),
    [("stop", "stop"), ("eos", "stop"), (None, "stop"), ("length", "length"), ("model_length", "length"),
     ("max_tokens", "length"), ("tool_calls", "tool_calls"), ("function_call", "tool_calls")],
)  # fmt: skip
def test_finish_reasons(reason: str | None, ours: str) -> None:
    assert read_answer(chosen(reason=reason), QUESTION).finish_reason == ours


def test_a_content_in_parts_is_joined() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": []},
        {"type": "text", "text": "one "},
        {"type": "text", "text": "two"},
    ]
    assert read_answer(chosen(parts), QUESTION).text == "one two"


def test_an_answer_that_is_empty_and_says_so_is_an_answer() -> None:
    assert read_answer(chosen(""), QUESTION).text == ""


def test_nothing_said_because_the_limit_was_reached_is_cut_off() -> None:
    completion = read_answer(chosen(None, "length"), QUESTION)
    assert (completion.text, completion.finish_reason) == ("", "length")


def test_tool_calls_need_no_text() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    completion = read_answer(chosen(None, "tool_calls", tool_calls=calls), QUESTION)
    assert (completion.text, completion.tool_calls) == ("", tuple(calls))


def test_tokens_are_the_servers_or_else_an_upper_estimate() -> None:
    told = read_answer(chosen(usage={"prompt_tokens": 5, "completion_tokens": 6}), QUESTION).usage
    assert (told.calls, told.input_tokens, told.output_tokens, told.usd) == (1, 5, 6, None)
    guessed = read_answer(chosen("123456"), QUESTION).usage
    assert (guessed.input_tokens, guessed.output_tokens) == (14, 2)


def test_dollars_are_read_only_where_the_server_is_known_to_bill_by_them() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 6, "cost": 0.125}
    assert read_answer(chosen(usage=usage), QUESTION, reports_cost=True).usage.usd == 0.125
    assert read_answer(chosen(usage=usage), QUESTION).usage.usd is None


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("", None),
        ("12", 12),
        ("0.5", 0.5),
        ("-3", 0),
        ("inf", None),
        ("nan", None),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0),
        ("soon", None),
    ],
)
def test_retry_after_in_every_form(said: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": said}, NOW) == seconds
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "in the usual place"}}', "in the usual place"),
        (b'{"error": "as a text"}', "as a text"),
        (b'{"message": "at the top"}', "at the top"),
        (b'{"detail": "as FastAPI does"}', "as FastAPI does"),
        (b'[{"error": {"message": "in a list, as Google does"}}]', "in a list"),
        (b"plain words", "plain words"),
        (b"", "no explanation"),
        (b'{"error": {"code": "bare_code"}}', "bare_code"),
    ],
)
def test_what_a_server_complains_of_is_found(body: bytes, words: str) -> None:
    error = read_failure(Reply(400, {}, body))
    assert type(error) is RequestError
    assert words in str(error)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (ContextLengthError, "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens"),
        (ContextLengthError, "prompt is too long: 210000 tokens > 200000 maximum"),
        (ContextLengthError, "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)"),
        (ContextLengthError, "the request exceeds the available context size, try increasing it"),
        (RefusedError, "The response was filtered due to the prompt triggering content management policy"),
        (RequestError, "max_tokens must be an integer"),
    ],
)
def test_what_is_the_programs_own_fault_is_told_apart(kind: type[LMError], said: str) -> None:
    assert type(read_failure(reply({"error": {"message": said}}, 400))) is kind


def test_a_long_complaint_is_shortened() -> None:
    assert len(str(read_failure(reply({"error": {"message": "x" * 10_000}}, 400)))) < 400


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES = LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.sampled_from(["code", "text", "x"]), LEAVES)
MESSAGES = st.dictionaries(st.sampled_from(["content", "tool_calls", "refusal"]), VALUES) | VALUES
CHOICES = st.dictionaries(st.sampled_from(["finish_reason", "error"]), VALUES) | VALUES
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.tuples(CHOICES, MESSAGES).map(
            lambda pair: [{**pair[0], "message": pair[1]} if isinstance(pair[0], dict) else pair[0]]
        )
        | VALUES,
        "error": VALUES,
        "usage": st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens", "cost"]), VALUES) | VALUES,
        "model": VALUES,
        "detail": VALUES,
    },
)
BODIES = st.binary(max_size=60) | (DOCUMENTS | VALUES).map(lambda document: json.dumps(document).encode())


@given(BODIES, st.sampled_from([200, 400, 401, 429, 500]))
@example(b"[" * 100_000, 200)
@example(b"[" * 100_000, 500)
def test_nothing_a_server_sends_ends_in_anything_but_an_answer_or_a_typed_error(body: bytes, status: int) -> None:
    if status != 200:
        assert isinstance(read_failure(Reply(status, {}, body)), LMError)
        return
    with suppress(LMError):
        completion = read_answer(Reply(200, {}, body), QUESTION, reports_cost=True)
        assert isinstance(completion.text, str)
        assert all(isinstance(call, dict) for call in completion.tool_calls)
