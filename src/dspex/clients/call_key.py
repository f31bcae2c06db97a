"""The identity of a call: one short key for a whole request, the same in every process and every version to come.

The format, since keys are kept on disk: the digest is SHA-256 over UTF-8 text made of parts. A part is
`<length in characters>:<characters>,` (a netstring, so that no two requests can give the same text). The parts are: the
model; the settings as canonical JSON (sorted keys, no spaces); the sample index in decimal; and for each message its
role, its content, and its remaining fields as canonical JSON, empty where there are none. A content that is not text
counts as a remaining field. The key is a version byte and the first 19 bytes of the digest, as 40 hexadecimal digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from dspex.kernel.canonical import canonical
from dspex.kernel.ports import JSON, Message, Request

VERSION = "01"
_DIGITS = 38
_REMEMBERED = 1024
_written: dict[bytes, str] = {}
_heads: dict[tuple[str, bytes], str] = {}


def call_key(request: Request) -> str:
    """40 hexadecimal digits that stand for model, messages, settings and sample index."""
    sample = str(request.sample)
    parts = [f"{_head(request.model, request.settings)}{len(sample)}:{sample},"]
    for message in request.messages:
        role, content = message["role"], message["content"]
        if len(message) == 2 and type(content) is str:
            parts.append(f"{len(role)}:{role},{len(content)}:{content},0:,")
        else:
            parts.append(_unusual(message))
    text = "".join(parts).encode("utf-8", "surrogatepass")
    return VERSION + sha256(text, usedforsecurity=False).hexdigest()[:_DIGITS]


def settings_text(settings: Mapping[str, JSON]) -> str:
    """The settings as canonical JSON, remembered by content."""
    imprint = _imprint(settings)
    found = _written.get(imprint)
    if found is None:
        found = _remember(_written, imprint, canonical(dict(settings)))
    return found


def _head(model: str, settings: Mapping[str, JSON]) -> str:
    imprint = _imprint(settings)
    found = _heads.get((model, imprint))
    if found is None:
        found = _remember(_heads, (model, imprint), _part(model) + _part(settings_text(settings)))
    return found


def _imprint(settings: Mapping[str, JSON]) -> bytes:
    # Looks the canonical text up by content, and quicker than writing it: settings are the same few for thousands of
    # calls, but nobody promises that they are the same object, or that it does not change. Order of keys shows in it,
    # so equal settings may be written twice, to the same text. It never leaves this process.
    try:
        return to_json({**settings}, inf_nan_mode="constants")
    except PydanticSerializationError:  # half a surrogate pair
        return canonical({**settings}).encode("utf-8", "surrogatepass")


def _remember(memory: dict[Any, str], key: Any, text: str) -> str:
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = text
    return text


def _part(text: str) -> str:
    return f"{len(text)}:{text},"


def _unusual(message: Message) -> str:
    fields: dict[str, Any] = dict(message)
    role = fields.pop("role")
    content = fields.pop("content") if type(fields["content"]) is str else ""
    return _part(role) + _part(content) + _part(canonical(fields) if fields else "")
