"""ScriptedLM: a function as a model."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from dspex.clients.scripted import ScriptedLM
from dspex.errors import ConfigurationError, RateLimitError
from dspex.kernel.ports import LM, Capabilities, Completion, Request, Usage

QUESTION = Request("scripted/x", [{"role": "user", "content": "12345678"}], {"temperature": 0.5}, sample=3)


def test_a_text_becomes_a_whole_completion() -> None:
    lm = ScriptedLM(lambda request: f"sample {request.sample}", model="mine")
    assert asyncio.run(lm.complete(QUESTION)) == Completion("sample 3", "stop", Usage(1, 2, 2), "mine")


def test_a_completion_is_passed_on_as_it_is() -> None:
    answer = Completion("half an", "length", Usage(1, 7, 9), "other")
    assert asyncio.run(ScriptedLM(lambda _: answer).complete(QUESTION)) is answer


def test_the_function_may_be_async() -> None:
    async def script(request: Request) -> str:
        await asyncio.sleep(0)
        return request.messages[0]["content"]

    assert asyncio.run(ScriptedLM(script).complete(QUESTION)).text == "12345678"


def test_what_the_function_raises_is_raised() -> None:
    def script(request: Request) -> str:
        raise RateLimitError("slow down", retry_after=2)

    with pytest.raises(RateLimitError, match="slow down"):
        asyncio.run(ScriptedLM(script).complete(QUESTION))


@pytest.mark.parametrize("answer", [None, 7, {"text": "no"}])
def test_an_answer_of_another_type_is_refused(answer: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"returned {type(answer).__name__}; return a str"):
        asyncio.run(ScriptedLM(lambda _: answer).complete(QUESTION))


def test_something_that_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="takes a function"):
        ScriptedLM(cast(Any, "an answer"))


def test_it_is_a_model_with_the_capabilities_it_is_given() -> None:
    lm = ScriptedLM(lambda _: "", capabilities=Capabilities(json_schema=True))
    assert isinstance(lm, LM)
    assert lm.capabilities("scripted/x") == Capabilities(json_schema=True)
    assert ScriptedLM(lambda _: "").capabilities("x") == Capabilities()
