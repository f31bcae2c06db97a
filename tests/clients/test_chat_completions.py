"""The chat completions client against a real server: what goes over the wire, what comes back, what goes wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from typing import Any

import pytest

from dspex.clients.chat_completions import ChatCompletions
from dspex.clients.providers import Provider, find_provider
from dspex.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ContextLengthError,
    LMError,
    LMTimeoutError,
    RateLimitError,
    RefusedError,
    RequestError,
    ServerError,
)
from dspex.kernel.ports import LM, Capabilities, Completion, Message, Request, Usage
from tests.clients.server import Behaviour, ChatServer, Raw, Reply, answer, data, failure

KEY = "sk-secret-0123456789"
MESSAGES: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße, 世界?"}]
HALF = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"choices": [{"mess'


def client(url: str, name: str = "openai", key: str | None = KEY, **fields: Any) -> ChatCompletions:
    provider = find_provider(name, {"base_url": url, **fields}, {})
    return ChatCompletions(provider, key=key, environ={})


def ask(lm: ChatCompletions, model: str = "openai/gpt-4o", **settings: Any) -> Completion:
    async def once() -> Completion:
        try:
            return await lm.complete(Request(model, MESSAGES, settings))
        finally:
            await lm.aclose()

    return asyncio.run(once())


def fail(behaviour: Behaviour, **fields: Any) -> LMError:
    with ChatServer([behaviour]) as server, pytest.raises(LMError) as caught:
        ask(client(server.url, **fields))
    return caught.value


def test_it_is_a_model() -> None:
    lm = client("http://localhost:1/v1")
    assert isinstance(lm, LM)
    assert lm.capabilities("openai/gpt-4o") == Capabilities(json_schema=True, json_object=True, tools=True)


def test_a_request_goes_over_the_wire_whole() -> None:
    with ChatServer([answer("hello")]) as server:
        completion = ask(client(server.url), temperature=0.25, stop=["END"], extra_body={"user": "me"})
    (received,) = server.received
    assert received.path == "/v1/chat/completions"
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.headers["content-type"] == "application/json"
    assert received.body == {
        "model": "gpt-4o",
        "messages": MESSAGES,
        "temperature": 0.25,
        "stop": ["END"],
        "user": "me",
    }
    assert completion == Completion("hello", "stop", Usage(1, 11, 7, None), "served")


def test_a_model_name_may_have_slashes_of_its_own() -> None:
    with ChatServer([answer("x")]) as server:
        ask(client(server.url, "openrouter"), "openrouter/meta/llama-3")
    assert server.received[0].body["model"] == "meta/llama-3"


def test_quirks_of_the_provider_are_kept() -> None:
    with ChatServer([answer("x")]) as server:
        ask(client(server.url), "openai/o3-mini", max_tokens=50, temperature=0.5, seed=3)
        ask(client(server.url), "openai/gpt-4o", max_tokens=50, temperature=0.5)
        ask(client(server.url, "groq"), "groq/o3-alike", max_tokens=50, temperature=0.5)
    sent = [{k: v for k, v in item.body.items() if k not in ("model", "messages")} for item in server.received]
    assert sent == [
        {"max_completion_tokens": 50, "seed": 3},
        {"max_completion_tokens": 50, "temperature": 0.5},
        {"max_tokens": 50, "temperature": 0.5},
    ]


def test_headers_of_the_provider_are_sent_and_no_key_where_there_is_none() -> None:
    with ChatServer([answer("x")]) as server:
        ask(client(server.url, "vllm", key=None, headers={"X-Team": "ours"}), "vllm/m")
    assert server.received[0].headers["x-team"] == "ours"
    assert "authorization" not in server.received[0].headers


def test_a_cut_off_answer_says_so() -> None:
    with ChatServer([answer("half of it", "length")]) as server:
        assert ask(client(server.url)).finish_reason == "length"


@pytest.mark.parametrize(
    ("behaviour", "kind", "billed", "words"),
    [
        (failure(401, "bad key"), AuthenticationError, False, "bad key; check the key in OPENAI_API_KEY"),
        (failure(403, "not yours"), AuthenticationError, False, "not yours; check the key"),
        (failure(429, "slow down"), RateLimitError, False, "HTTP 429: slow down"),
        (failure(429, "pay first", "insufficient_quota"), RequestError, False, "quota is used up"),
        (failure(408, "too slow"), LMTimeoutError, True, "HTTP 408: too slow"),
        (failure(504, "gateway"), LMTimeoutError, True, "HTTP 504: gateway"),
        (failure(500, "oops"), ServerError, False, "HTTP 500: oops"),
        (failure(503, ""), ServerError, False, "HTTP 503"),
        (Reply(502, b"<html>Bad gateway</html>"), ServerError, False, "Bad gateway"),
        (failure(400, "no such field"), RequestError, False, "HTTP 400: no such field"),
        (failure(404, "no such model"), RequestError, False, "no such model"),
        (Reply(307, b"", {"Location": "http://elsewhere/"}), RequestError, False, "HTTP 307"),
        (failure(400, "too big", "context_length_exceeded"), ContextLengthError, False, "too big"),
        (failure(400, "This model's maximum context length is 8192 tokens"), ContextLengthError, False, "8192"),
        (failure(400, "flagged", "content_filter"), RefusedError, False, "flagged"),
        (answer("partial", "content_filter"), RefusedError, True, "declined to answer"),
        (answer(None, "stop", refusal="I cannot help with that"), RefusedError, True, "I cannot help"),
        (answer(None), ServerError, True, "no content"),
        (answer("some", "error"), ServerError, True, "broke off its answer"),
        (data({"error": {"message": "upstream down", "code": 429}}), RateLimitError, False, "upstream down"),
        (data({"error": "out of memory"}), ServerError, False, "out of memory"),
        (data({"choices": []}), ServerError, True, "cut-off body, no answer in it: it has no choices"),
        (data({"choices": [{"finish_reason": "stop"}]}), ServerError, True, "no message"),
        (data(["not", "an", "answer"]), ServerError, True, "not a JSON object"),
        (Reply(200, b""), ServerError, True, "not JSON (content type unknown); 0 bytes"),
        (Reply(200, b'{"choices": [{"mess'), ServerError, True, "not JSON"),
        (Reply(200, b"<html>hi</html>", {"Content-Type": "text/html"}), ServerError, True, "content type text/html"),
        (Reply(200, b'{"choices": "\xff\xfe"}'), ServerError, True, "not JSON"),
        (Raw(HALF), ServerError, True, "closed before the whole answer"),
        (Raw(b""), ConnectionFailedError, True, "broke (ServerDisconnectedError)"),
        (Raw(b"SSH-2.0 hello\r\n\r\n"), ConnectionFailedError, True, "broke ("),
    ],
)
def test_what_goes_wrong_is_a_typed_error(behaviour: Behaviour, kind: type[LMError], billed: bool, words: str) -> None:
    error = fail(behaviour)
    assert type(error) is kind
    assert str(error).startswith("openai/gpt-4o: ")
    assert words in str(error)
    assert error.billed is billed


def test_an_answer_that_never_comes_is_a_timeout() -> None:
    error = fail(Raw(None), timeout=0.05)
    assert type(error) is LMTimeoutError
    assert error.billed
    assert "within 0.05 s" in str(error)


def test_nobody_listening_is_a_failed_connection_that_cost_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionFailedError) as caught:
            ask(client(f"http://127.0.0.1:{taken.getsockname()[1]}/v1"))
    assert not caught.value.billed


def test_retry_after_is_passed_on() -> None:
    error = fail(failure(429, "slow down", Retry_After="2.5"))
    assert error.retry_after == 2.5


@pytest.mark.parametrize(
    "behaviour",
    [
        failure(401, f"Incorrect API key provided: {KEY}"),
        failure(500, f"crashed handling Bearer {KEY}"),
        Reply(200, f"<html>{KEY}</html>".encode()),
        Reply(418, KEY.encode()),
        Raw(b""),
        Raw(HALF),
    ],
)
def test_the_key_is_in_no_error_no_traceback_and_no_representation(
    behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with ChatServer([behaviour]) as server:
        lm = client(server.url)
        with pytest.raises(LMError) as caught:
            ask(lm)
    shown = [str(caught.value), repr(caught.value), repr(lm), str(lm), repr(lm.provider), caplog.text]
    shown += traceback.format_exception(caught.value)
    assert [text for text in shown if KEY in text] == []


def test_a_connection_is_used_again() -> None:
    async def thrice(lm: ChatCompletions) -> None:
        for _ in range(3):
            await lm.complete(Request("openai/gpt-4o", MESSAGES))
        await lm.aclose()

    with ChatServer([answer("x")]) as server:
        asyncio.run(thrice(client(server.url)))
    assert (len(server.received), server.connections) == (3, 1)


def test_one_client_works_on_one_loop_after_another_without_being_closed() -> None:
    with ChatServer([answer("x")]) as server:
        lm = client(server.url)
        for _ in range(3):
            assert asyncio.run(lm.complete(Request("openai/gpt-4o", MESSAGES))).text == "x"
        del lm
        gc.collect()
    assert server.connections == 3


def test_a_loop_that_was_closed_the_hard_way_leaves_no_session_behind(caplog: pytest.LogCaptureFixture) -> None:
    with ChatServer([answer("x")]) as server, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        lm = client(server.url)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(lm.complete(Request("openai/gpt-4o", MESSAGES)))
        loop.close()
        assert asyncio.run(lm.complete(Request("openai/gpt-4o", MESSAGES))).text == "x"
        asyncio.run(lm.aclose())
        del lm, loop
        gc.collect()
    # The loop itself leaves its socket to the collector; of the session nothing is left to complain about.
    assert [str(item.message) for item in told if "socket" not in str(item.message).lower()] == []
    assert caplog.text == ""


def test_one_client_works_on_two_loops_at_once_and_closes_both() -> None:
    with ChatServer([answer("x")]) as server:
        lm = client(server.url)
        other = asyncio.new_event_loop()
        thread = threading.Thread(target=other.run_forever)
        thread.start()
        request = Request("openai/gpt-4o", MESSAGES)

        async def here() -> str:
            mine = await lm.complete(request)
            theirs = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(lm.complete(request), other))
            await lm.aclose()
            return mine.text + theirs.text

        assert asyncio.run(here()) == "xx"
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()


def test_cancelling_a_call_leaves_the_client_usable() -> None:
    async def cancelled(lm: ChatCompletions, server: ChatServer) -> str:
        task = asyncio.create_task(lm.complete(Request("openai/gpt-4o", MESSAGES)))
        while not server.received:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        text = (await lm.complete(Request("openai/gpt-4o", MESSAGES))).text
        await lm.aclose()
        return text

    with ChatServer([Raw(None), answer("after")]) as server:
        assert asyncio.run(cancelled(client(server.url), server)) == "after"


def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer([answer("by proxy")]) as server:
        monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "")
        assert ask(client("http://models.invalid/v1")).text == "by proxy"
    assert server.received[0].path == "http://models.invalid/v1/chat/completions"


ON_ITS_OWN_LOOP = "print(asyncio.run(lm.complete(request)).text)"
ON_A_THREAD_THAT_NEVER_ENDS = """
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
print(asyncio.run_coroutine_threadsafe(lm.complete(request), loop).result().text)
"""


@pytest.mark.parametrize("call", [ON_ITS_OWN_LOOP, ON_A_THREAD_THAT_NEVER_ENDS])
def test_a_script_that_forgets_to_close_ends_without_noise(call: str) -> None:
    code = """
import asyncio, sys, threading
from dspex.clients.chat_completions import ChatCompletions
from dspex.clients.providers import find_provider
from dspex.kernel.ports import Request
lm = ChatCompletions(find_provider("custom", {"base_url": sys.argv[1]}, {}))
request = Request("custom/m", [{"role": "user", "content": "?"}])
"""
    with ChatServer([answer("fine")]) as server:
        command = [sys.executable, "-W", "always", "-c", code + call, server.url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("fine\n", "", 0)


def test_a_missing_key_is_told_before_anything_is_sent() -> None:
    provider = Provider(name="mine", base_url="http://localhost:1", key_env="MINE_KEY")
    with pytest.raises(AuthenticationError, match=r"set the environment variable MINE_KEY .*embedded/lexical"):
        ChatCompletions(provider, environ={})
