"""`embedded/lexical`, the offline model: a small, deterministic in-context learner without network and weights.

What it is and what it is not: docs/embedded-model.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from dspex.clients.embedded.prompt import text_of
from dspex.clients.embedded.responding import respond
from dspex.errors import RequestError, UnknownNameError
from dspex.kernel.ports import Capabilities, Completion, FinishReason, Request, Usage

MODEL = "embedded/lexical"
CHARACTERS_PER_TOKEN = 4
"""By which tokens are reported: it has no tokenizer, and nobody is billed."""


class Lexical:
    """Answers from the prompt alone. Stateless: one may serve any number of loops and threads.

    The answer depends on messages, settings and sample index only. Of the settings it heeds `temperature`,
    `response_format`, `max_tokens` (an answer longer than that is cut off, finish reason `length`) and `stop`.
    Raises UnknownNameError for another model, RequestError for tools.
    """

    async def complete(self, request: Request) -> Completion:
        if request.model.rpartition("/")[2] != "lexical":
            raise UnknownNameError("embedded model", request.model, [MODEL])
        if request.settings.get("tools"):
            raise RequestError(f"{MODEL} calls no tools; use a step without them, or another model")
        text = _stopped(respond(request.messages, request.settings, request.sample), request.settings)
        text, reason = _cut(text, request.settings)
        asked = sum(len(text_of(message["content"])) for message in request.messages)
        return Completion(text, reason, Usage(1, _tokens(asked), _tokens(len(text)), 0.0), MODEL)

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(json_schema=True, json_object=True)

    async def aclose(self) -> None:
        """Nothing to close."""


def _tokens(characters: int) -> int:
    return ceil(characters / CHARACTERS_PER_TOKEN)


def _stopped(text: str, settings: Mapping[str, Any]) -> str:
    """The text before the first stop sequence."""
    stop = settings.get("stop")
    sequences: list[Any] = [stop] if isinstance(stop, str) else list(stop or ())
    ends = [
        text.index(sequence) for sequence in sequences if isinstance(sequence, str) and sequence and sequence in text
    ]
    return text[: min(ends)] if ends else text


def _cut(text: str, settings: Mapping[str, object]) -> tuple[str, FinishReason]:
    limit = settings.get("max_tokens") or settings.get("max_completion_tokens")
    if not isinstance(limit, int) or _tokens(len(text)) <= limit:
        return text, "stop"
    return text[: limit * CHARACTERS_PER_TOKEN], "length"
