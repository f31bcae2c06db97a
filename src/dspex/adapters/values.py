"""Single values as text and back: texts as they are, all else as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from pydantic_core import from_json

from dspex.adapters.wording import admitted
from dspex.kernel.ports import JSON

encode = json.JSONEncoder(ensure_ascii=False).encode
"""A JSON value on one line, letters of every language as they are."""
Read = Callable[[str], JSON]
Write = Callable[[JSON], str]


class DuplicateKeyError(ValueError):
    """A JSON object gives one key twice with different values."""


def reader_of(schema: Mapping[str, Any]) -> Read:
    """How the text of a field with this JSON Schema becomes a value. Text that does not read as JSON stays text."""
    kinds = admitted(schema)
    if "string" not in kinds:
        return _read_json
    return str if len(kinds) == 1 else _read_mixed


def writer_of(schema: Mapping[str, Any]) -> Write:
    """The inverse of `reader_of`: `read(write(value)) == value` for every value of the schema."""
    kinds = admitted(schema)
    return _write_mixed if "string" in kinds and len(kinds) > 1 else _write


def is_object(value: JSON) -> TypeGuard[dict[str, JSON]]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: JSON) -> TypeGuard[list[JSON]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def loads(text: str) -> JSON:
    """JSON text as a value. Raises ValueError: no NaN, and no key twice with different values in an object."""
    try:
        return _strict_decoder.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def raw_decode(text: str, start: int) -> tuple[JSON, int]:
    """The JSON value that begins at `start`, and where it ends. Raises ValueError, DuplicateKeyError."""
    try:
        return _strict_decoder.raw_decode(text, start)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _once(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, value in pairs:
            if found[key] != value or type(found[key]) is not type(value):
                raise DuplicateKeyError(f"{key!r} is there twice, with different values")
    return found


def _refused(constant: str) -> JSON:
    raise ValueError(f"{constant} is not JSON")


_strict_decoder = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refused)


def _write(value: JSON) -> str:
    return value if type(value) is str else encode(value)


def _write_mixed(value: JSON) -> str:
    """Where texts and other values are admitted, a text that reads as JSON is quoted so that it stays a text."""
    if type(value) is not str:
        return encode(value)
    return value if _read_mixed(value) == value and value != "" else encode(value)


def _read_json(text: str) -> JSON:
    try:
        if "{" in text:
            return loads(text)
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return text


def _read_mixed(text: str) -> JSON:
    """Text where other types are admitted too: what reads as JSON is JSON, and None is null."""
    return None if text == "None" else _read_json(text)
