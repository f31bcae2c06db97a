"""One way to write a JSON value down, so that equal content has equal hashes in every process and Python version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeGuard

from pydantic_core import PydanticSerializationError, to_jsonable_python

from dspex.errors import DataError

_PLAIN = (str, int, bool, type(None))
_EXACT = 2**53  # whole numbers below it are the same as int and as float
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: Any) -> str:
    """`value` (JSON) as text: sorted keys, no spaces, no NaN. Raises ValueError for what JSON cannot say."""
    return _encode(value)


def digest(value: Any, length: int = 64) -> str:
    """SHA-256 of the canonical text, `length` hexadecimal digits of it."""
    return sha256(canonical(value))[:length]


def sha256(text: str) -> str:
    """SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def identity(value: Any) -> str:
    """Canonical text in which 1.0 and 1 are the same number: other writers of JSON do not tell them apart."""
    return canonical(_whole(value))


def plain(value: Any, where: str = "value") -> Any:
    """`value` as JSON: models, enums, dates and tuples become what JSON has. Raises DataError naming `where`."""
    if type(value) in _PLAIN:
        return value
    if type(value) is float:
        if not isfinite(value):
            raise DataError(f"{where}: {value} cannot be written as JSON; use a finite number or None")
        return value
    try:
        data = to_jsonable_python(value, by_alias=True)
        canonical(data)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        reason = "with NaN or infinity in it " if "float" in str(error) else ""
        raise DataError(
            f"{where}: a value of type {type(value).__name__} {reason}cannot be written as JSON; convert it first"
        ) from error
    return data


def is_mapping(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether `value` is what JSON calls an object."""
    return isinstance(value, Mapping)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether `value` is what JSON calls an array; a tuple counts."""
    return isinstance(value, list | tuple)


def _whole(value: Any) -> Any:
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) < _EXACT else value
    if is_mapping(value):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if is_list(value) else value
