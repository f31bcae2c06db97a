"""The model behind the port: what it promises of every call."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

import pytest

from dspex.clients.embedded.lexical import MODEL, Lexical
from dspex.errors import RequestError, UnknownNameError
from dspex.kernel.ports import LM, Completion, Message, Request
from tests.clients.embedded.prompts import SHOWN

MESSAGES: list[Message] = [
    {"role": "system", "content": "red, blue or green?"},
    *(
        turn
        for given, answer in SHOWN
        for turn in (Message(role="user", content=given), Message(role="assistant", content=answer))
    ),
    {"role": "user", "content": "the sea"},
]


def complete(**changes: Any) -> Completion:
    request = replace(Request(MODEL, MESSAGES), **changes)
    return asyncio.run(Lexical().complete(request))


def test_it_is_a_model_that_takes_schemas_and_no_tools() -> None:
    model: LM = Lexical()
    assert isinstance(model, LM)
    assert model.capabilities(MODEL).json_schema
    assert not model.capabilities(MODEL).tools


def test_an_answer_with_its_usage() -> None:
    completion = complete()
    assert (completion.text, completion.finish_reason, completion.model) == ("blue", "stop", MODEL)
    characters = sum(len(item["content"]) for item in MESSAGES)
    assert completion.usage.calls == 1
    assert completion.usage.input_tokens == -(-characters // 4)
    assert completion.usage.output_tokens == 1
    assert completion.usage.usd == 0.0


def test_an_answer_longer_than_the_limit_is_cut_off_and_says_so() -> None:
    long: list[Message] = [{"role": "user", "content": "Repeat: a sentence of quite some length, for the sake of it."}]
    whole = complete(messages=long)
    cut = complete(messages=long, settings={"max_tokens": 2})
    assert whole.finish_reason == "stop"
    assert (cut.text, cut.finish_reason) == (whole.text[:8], "length")


@pytest.mark.parametrize("stop", ["u", ["u", "zz"]])
def test_it_stops_at_a_stop_sequence(stop: object) -> None:
    assert complete(settings={"stop": stop}).text == "bl"


def test_other_models_and_tools_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="embedded/lexical"):
        complete(model="embedded/lexicall")
    with pytest.raises(RequestError, match="calls no tools"):
        complete(settings={"tools": [{"type": "function"}]})


def test_it_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert complete().text == "blue"


def test_the_order_of_calls_does_not_matter() -> None:
    settings = {"temperature": 1.2}
    forward = [complete(settings=settings, sample=sample).text for sample in range(8)]
    backward = [complete(settings=settings, sample=sample).text for sample in reversed(range(8))]
    assert forward == backward[::-1]
