"""Reading what a chat completions server sends: a whole answer, or which error it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard, cast

from pydantic_core import from_json

from dspex.clients.tokens import prompt_tokens, text_tokens
from dspex.errors import (
    AuthenticationError,
    ContextLengthError,
    LMError,
    LMTimeoutError,
    RateLimitError,
    RefusedError,
    RequestError,
    ServerError,
)
from dspex.kernel.ports import Completion, FinishReason, Request, Usage
from dspex.kernel.quick import quick

FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
"""What servers call the reason an answer ended. What is not here ended by itself."""

_TOO_LONG = (
    "context length",
    "context window",
    "context_length",
    "context size",
    "prompt is too long",
    "input is too long",
    "maximum number of tokens",
    "too many tokens",
    "input token count",
    "exceed the maximum tokens",
)
_FILTERED = ("content_filter", "content_policy_violation", "content management policy")
_SHOWN = 300
_completion, _counted = quick(Completion), quick(Usage)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over HTTP. `headers` is read without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read_answer(reply: Reply, request: Request, reports_cost: bool = False) -> Completion:
    """The completion in a reply of status 200. Raises the typed error when there is no whole answer in it."""
    data = _document(reply)
    choice = _object(_first(data.get("choices")))
    if choice is None:
        if error := data.get("error"):
            raise read_failure(Reply(_status_of(error), reply.headers, reply.body))
        raise _cut_off("it has no choices", reply)
    message = _object(choice.get("message"))
    if message is None:
        raise _cut_off("its choice has no message", reply)
    reason = choice.get("finish_reason")
    if reason == "content_filter" or message.get("refusal"):
        raise RefusedError(f"the provider declined to answer: {_short(message.get('refusal') or reason)}", billed=True)
    if reason == "error":
        raise ServerError(f"the server broke off its answer: {_short(choice.get('error') or reason)}", billed=True)
    calls = message.get("tool_calls")
    calls = [call for call in calls if _object(call)] if _is_list(calls) else []
    text = _text(message.get("content"))
    if text is None and not calls and FINISH.get(str(reason)) != "length":
        raise _cut_off("its message has no content", reply)
    return _completion(
        text or "",
        FINISH.get(str(reason), "stop"),
        _usage(data.get("usage"), request, text or "", reports_cost),
        str(data.get("model") or ""),
        tuple(calls),
    )


def read_failure(reply: Reply) -> LMError:
    """The error that a reply of another status means."""
    code, said = _complaint(reply)
    status = reply.status
    shown = f"HTTP {status}: {said}"
    if status in (401, 403):
        return AuthenticationError(shown)
    if status == 429:
        return _limited(code, shown, reply)
    if status in (408, 504):
        return LMTimeoutError(shown, retry_after=retry_after(reply.headers), billed=True)
    if status >= 500 or status in (409, 425):
        return ServerError(shown, retry_after=retry_after(reply.headers))
    lowered = f"{code} {said}".lower()
    if any(words in lowered for words in _FILTERED):
        return RefusedError(shown)
    if status in (400, 413, 422) and any(words in lowered for words in _TOO_LONG):
        return ContextLengthError(shown)
    return RequestError(shown)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, 10.2.3: seconds or an HTTP date); None where it does not say."""
    said = headers.get("Retry-After", "").strip()
    if not said:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            when = parsedate_to_datetime(said)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if seconds < float("inf") else None


def _limited(code: str, shown: str, reply: Reply) -> LMError:
    if code in ("insufficient_quota", "billing_hard_limit_reached"):
        return RequestError(f"{shown} (the account's own quota is used up; waiting does not help)")
    return RateLimitError(shown, retry_after=retry_after(reply.headers))


def _document(reply: Reply) -> dict[str, Any]:
    try:
        data = _read(reply.body)
    except (ValueError, RecursionError):  # of JSON, of UTF-8, or nested without end
        kind = reply.headers.get("Content-Type", "unknown")
        raise _cut_off(f"it is not JSON (content type {kind})", reply) from None
    found = _object(data)
    if found is None:
        raise _cut_off("it is not a JSON object", reply)
    return found


def _read(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:  # no JSON, or what only the slower reader takes: half a surrogate pair
        return json.loads(body)


def _cut_off(what: str, reply: Reply) -> ServerError:
    start = reply.body[:80].decode("utf-8", "replace")
    shown = f" starting {start!r}" if start else ""
    return ServerError(f"cut-off body, no answer in it: {what}; {len(reply.body)} bytes{shown}", billed=True)


def _text(content: Any) -> str | None:
    """The text of a message's content, which some servers send in parts. None: there is none."""
    if isinstance(content, str) or content is None:
        return content
    if _is_list(content):
        parts = [_object(part) or {} for part in content]
        texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
        return "".join(texts) if texts else None
    return None


def _usage(said: Any, request: Request, text: str, reports_cost: bool) -> Usage:
    """What the server counted; where it counted nothing, an upper estimate. Dollars only where it names them."""
    counted = _object(said) or {}
    asked, answered = counted.get("prompt_tokens"), counted.get("completion_tokens")
    cost = counted.get("cost") if reports_cost else None
    return _counted(
        1,
        asked if isinstance(asked, int) else prompt_tokens(request),
        answered if isinstance(answered, int) else text_tokens(text),
        float(cost) if isinstance(cost, int | float) else None,
    )


def _complaint(reply: Reply) -> tuple[str, str]:
    """The server's code and message, whatever form it gave them."""
    try:
        data: Any = json.loads(reply.body)
    except (ValueError, RecursionError):
        data = None
    whole = _object(_first(data) or data) or {}
    error = _object(whole.get("error", whole))
    if error:
        code = str(error.get("code") or error.get("type") or "")
        return code, _short(error.get("message") or error.get("detail") or code or error)
    return "", _short(whole.get("error") or reply.body.decode("utf-8", "replace").strip() or "no explanation")


def _status_of(error: Any) -> int:
    """An error inside a reply of status 200: its own code where that is a status."""
    code = (_object(error) or {}).get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _object(value: Any) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _first(value: Any) -> Any:
    return value[0] if _is_list(value) and value else None


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _short(said: Any) -> str:
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
