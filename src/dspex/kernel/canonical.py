"""One way to write a JSON value down, so that equal content has equal hashes in every process and Python version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from pydantic_core import PydanticSerializationError, to_jsonable_python

from dspex.errors import DataError

_PLAIN = (str, int, float, bool, type(None))
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: Any) -> str:
    """`value` (JSON) as text: sorted keys, no spaces, no NaN. Raises ValueError for what JSON cannot say."""
    return _encode(value)


def digest(value: Any, length: int = 64) -> str:
    """SHA-256 of the canonical text, `length` hexadecimal digits of it."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:length]


def plain(value: Any, where: str = "value") -> Any:
    """`value` as JSON: models, enums, dates and tuples become what JSON has. Raises DataError naming `where`."""
    if type(value) in _PLAIN:
        return value
    try:
        return to_jsonable_python(value, by_alias=True)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise DataError(f"{where}: a {type(value).__name__} cannot be written as JSON; convert it first") from error


def is_mapping(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether `value` is what JSON calls an object."""
    return isinstance(value, Mapping)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether `value` is what JSON calls an array; a tuple counts."""
    return isinstance(value, list | tuple)
