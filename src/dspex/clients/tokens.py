"""How many tokens a request can have at most, told from its characters, without any model's tokenizer."""

from __future__ import annotations

from dspex.clients.call_key import settings_text
from dspex.kernel.ports import Request

BYTES_PER_TOKEN = 3
"""Low on purpose: prose has about four bytes a token, code and other alphabets fewer. It is a bound, not a mean."""
TOKENS_PER_MESSAGE = 4
"""What the markers around a message cost, at most."""
_SETTINGS_IN_THE_PROMPT = ("response_format", "tools", "extra_body")


def prompt_tokens(request: Request) -> int:
    """An upper estimate of the tokens of the prompt, schemas and tools included."""
    size = 0
    for message in request.messages:
        content = message["content"]
        size += len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
        if len(message) > 2:
            size += len(str(message.get("tool_calls", "")))
    settings = request.settings
    if any(name in settings for name in _SETTINGS_IN_THE_PROMPT):
        size += len(settings_text(settings).encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * len(request.messages)


def answer_tokens(request: Request) -> int | None:
    """The most tokens the answer may have, None where the request sets no limit."""
    found = request.settings.get("max_tokens")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def text_tokens(text: str) -> int:
    """An upper estimate of the tokens of a text."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)
