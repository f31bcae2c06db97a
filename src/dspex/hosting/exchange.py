"""What a runner and its worker say to each other: frames of JSON over a pipe, nothing that is executed when it is read.

A frame is four bytes of length, most significant first, and a JSON object with a `kind`. To the worker: `setup`,
`assess`, `answer`, `abandon`. From it: `ready`, `refused`, `complete`, `capabilities`, `cancel`, `assessed`, `raised`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, cast

from dspex import errors
from dspex.errors import DspexError
from dspex.evaluation.assessment import Assessment
from dspex.kernel.ports import JSON, Completion, Request, Usage
from dspex.kernel.state import Record

HEAD = 4
LARGEST = 64 * 2**20
"""Bytes of a frame; one that says it is longer is no frame."""
_ERRORS: Mapping[str, type[DspexError]] = {
    name: item for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, DspexError)
}
_FIGURES = attrgetter(*(item.name for item in fields(Usage)))
_CARRIED = ("retry_after", "billed", "problems")
"""What errors have beside their text."""


def framed(kind: str, **data: JSON) -> bytes:
    """One frame. Raises ValueError for what is too large, TypeError for what is not JSON."""
    body = json.dumps({"kind": kind, **data}, separators=(",", ":")).encode("ascii")
    if len(body) > LARGEST:
        raise ValueError(f"{kind}: {len(body)} bytes are more than the {LARGEST} of a frame")
    return len(body).to_bytes(HEAD, "big") + body


def length_of(head: bytes) -> int:
    """Bytes that follow a head. Raises ValueError where it is none."""
    size = int.from_bytes(head, "big")
    if size > LARGEST:
        raise ValueError(f"a frame of {size} bytes")
    return size


def unframed(body: bytes) -> dict[str, Any]:
    """The object of a frame. Raises ValueError for what is not one."""
    found: Any = json.loads(body)
    if not isinstance(found, dict) or "kind" not in found:
        raise ValueError("a frame without a kind")
    return cast("dict[str, Any]", found)


def assessment_data(found: Assessment) -> list[JSON]:
    """An assessment as JSON; `assessment_of` gives an equal one."""
    return [
        found.example, found.sample, found.score, found.feedback, _mapping(found.outputs), found.error,
        found.error_kind, usage_data(found.usage), found.seconds, [_record_data(item) for item in found.history],
        dict(found.details),
    ]  # fmt: skip


def assessment_of(data: Sequence[Any]) -> Assessment:
    """What `assessment_data` wrote."""
    example, sample, score, feedback, outputs, error, kind, usage, seconds, history, details = data
    records = tuple(_record_of(item) for item in history)
    about = (feedback, outputs, error, kind, Usage(*usage), seconds, records, details)
    return Assessment(example, sample, score, *about)


def usage_data(usage: Usage) -> list[JSON]:
    return list(_FIGURES(usage))


def request_data(request: Request) -> list[JSON]:
    return [request.model, [dict(item) for item in request.messages], dict(request.settings), request.sample]


def request_of(data: Sequence[Any]) -> Request:
    return Request(*data)


def completion_data(found: Completion) -> list[JSON]:
    calls = [dict(item) for item in found.tool_calls]
    usage = usage_data(found.usage)
    return [found.text, found.finish_reason, usage, found.model, calls, found.cached, found.key]


def completion_of(data: Sequence[Any]) -> Completion:
    text, reason, usage, model, calls, cached, key = data
    return Completion(text, reason, Usage(*usage), model, tuple(calls), cached, key)


def error_data(error: BaseException) -> dict[str, JSON]:
    """An error by the nearest class of the tree that has a name there; another class by its own name."""
    near = next((kind.__name__ for kind in type(error).__mro__ if _ERRORS.get(kind.__name__) is kind), None)
    more = {name: getattr(error, name) for name in _CARRIED if hasattr(error, name)}
    return {"class": near or type(error).__name__, "text": str(error), **more}


def error_of(data: Mapping[str, Any]) -> Exception:
    """The error that `error_data` wrote: of the same class where it is of the tree, else of a class of that name."""
    known = _ERRORS.get(data["class"])
    if known is None:
        made: type[Exception] = type(data["class"], (Exception,), {})
        return made(data["text"])
    error = known.__new__(known, data["text"])  # each class asks for other arguments; the text is there already
    for name in _CARRIED:
        if name in data:
            setattr(error, name, tuple(data[name]) if name == "problems" else data[name])
    return error


def _mapping(values: Mapping[str, JSON] | None) -> dict[str, JSON] | None:
    return None if values is None else dict(values)


def _record_data(item: Record) -> list[JSON]:
    return [
        item.step, item.module, dict(item.inputs), _mapping(item.outputs), item.model, dict(item.settings),
        [dict(message) for message in item.messages], item.completion, item.rung, list(item.notes),
        usage_data(item.usage), item.seconds, item.error, item.call,
    ]  # fmt: skip


def _record_of(data: Sequence[Any]) -> Record:
    step, module, inputs, outputs, model, settings, messages, completion, rung, notes, usage, *rest = data
    seconds, error, call = rest
    about = (tuple(messages), completion, rung, tuple(notes), Usage(*usage), seconds, error, call)
    return Record(step, module, inputs, outputs, model, settings, *about)
