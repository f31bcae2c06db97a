"""A function as a model: for tests, documentation and anything that answers without a network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from math import ceil
from typing import cast

from dspex.errors import ConfigurationError
from dspex.kernel.ports import Capabilities, Completion, Request, Usage

Answer = str | Completion
Script = Callable[[Request], Answer | Awaitable[Answer]]

CHARACTERS_PER_TOKEN = 4
"""A rough measure, good enough to try a token budget without a real model."""


class ScriptedLM:
    """Answers each request with what `function(request)` returns: a text, or a whole `Completion`.

    The function may be plain or async; a plain one runs in place, on the event loop, so it should be quick. What it
    raises is raised to the caller as it is: raise a `RateLimitError` to play a server that asks to slow down. A
    text is reported as one call, with tokens estimated from the length of messages and answer, at no cost.
    """

    def __init__(self, function: Script, *, model: str = "scripted", capabilities: Capabilities | None = None) -> None:
        if not callable(function):
            raise ConfigurationError(
                f"ScriptedLM takes a function of a request, not {type(function).__name__}; "
                "for fixed answers write `lambda request: 'the answer'`"
            )
        self._function = function
        self._model = model
        self._capabilities = capabilities or Capabilities()

    async def complete(self, request: Request) -> Completion:
        answer = self._function(request)
        if not isinstance(answer, str | Completion):
            answer = await _awaited(answer)
        return self._completion(request, answer) if isinstance(answer, str) else answer

    def capabilities(self, model: str) -> Capabilities:
        return self._capabilities

    async def aclose(self) -> None:
        """Nothing to close."""

    def __repr__(self) -> str:
        return f"ScriptedLM({getattr(self._function, '__qualname__', self._function)!s}, model={self._model!r})"

    def _completion(self, request: Request, text: str) -> Completion:
        asked = sum(len(message["content"]) for message in request.messages)
        usage = Usage(1, ceil(asked / CHARACTERS_PER_TOKEN), ceil(len(text) / CHARACTERS_PER_TOKEN))
        return Completion(text, "stop", usage, self._model)


async def _awaited(answer: object) -> Answer:
    found = await cast(Awaitable[object], answer) if isawaitable(answer) else answer
    if not isinstance(found, str | Completion):
        raise ConfigurationError(
            f"the function of a ScriptedLM returned {type(found).__name__}; return a str or a Completion"
        )
    return found
