"""Texts that stand for something else (dates, durations, addresses, decimals): checked as such, kept as texts."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator, core_schema

BOUNDS = {
    "ge": "formatMinimum",
    "le": "formatMaximum",
    "gt": "formatExclusiveMinimum",
    "lt": "formatExclusiveMaximum",
}
"""pydantic's bound of a date, time, duration or decimal, and the keyword that carries it, as text, in JSON Schema."""
DIGITS = {"max_digits": "maxDigits", "decimal_places": "decimalPlaces", "multiple_of": "formatMultipleOf"}
"""The same for decimals alone."""

_TEMPORAL: Mapping[str, Callable[..., CoreSchema]] = {
    "date": core_schema.date_schema,
    "date-time": core_schema.datetime_schema,
    "time": core_schema.time_schema,
    "duration": core_schema.timedelta_schema,
}
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


def checked(form: str, schema: Mapping[str, Any], text: CoreSchema) -> CoreSchema:
    """`text` (a core schema) that also holds to JSON Schema's `format`; one that is not known is a note, not a rule."""
    if form in _TEMPORAL:
        return _kept(text, _TEMPORAL[form](strict=False, **_bounds(form, schema)), _not_a_number)
    if form == "decimal":
        return _kept(text, decimal(schema))
    if form.startswith("uuid"):
        version: Any = int(form[4:]) if form[4:].isdigit() else None
        return _kept(text, core_schema.uuid_schema(version=version, strict=False))
    if form == "uri":
        return _kept(text, core_schema.url_schema())
    if form in _FUNCTIONS:
        return core_schema.chain_schema([text, core_schema.no_info_after_validator_function(_asked(form), text)])
    return text


def decimal(schema: Mapping[str, Any]) -> CoreSchema:
    """A decimal with the bounds and digits of a JSON Schema of ours."""
    digits = {ours: schema[theirs] for ours, theirs in DIGITS.items() if theirs in schema}
    if "multiple_of" in digits:
        digits["multiple_of"] = Decimal(str(digits["multiple_of"]))
    return core_schema.decimal_schema(strict=False, **_bounds("decimal", schema), **digits)


def kept(check: CoreSchema) -> CoreSchema:
    """Checks with `check` and keeps the value as it was given."""
    return core_schema.no_info_wrap_validator_function(_given, check)


def _kept(text: CoreSchema, check: CoreSchema, first: Callable[[Any], Any] | None = None) -> CoreSchema:
    steps = [text, kept(check)]
    if first is not None:
        steps.insert(1, core_schema.no_info_plain_validator_function(first))
    return core_schema.chain_schema(steps)


def _given(value: Any, handler: core_schema.ValidatorFunctionWrapHandler) -> Any:
    handler(value)
    return value


def _not_a_number(text: str) -> str:
    """Otherwise "5" would be a date in 1970."""
    if _NUMBER.fullmatch(text):
        raise PydanticCustomError("format", "should be a date or time in ISO 8601, not a number")
    return text


def _bounds(form: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The limits as Python values, read back by the same rules."""
    given = {ours: schema[theirs] for ours, theirs in BOUNDS.items() if theirs in schema}
    if not given:
        return {}
    maker: Callable[..., CoreSchema] = _TEMPORAL.get(form, core_schema.decimal_schema)
    read = SchemaValidator(maker(strict=False)).validate_python
    return {ours: read(text) for ours, text in given.items()}


def _asked(form: str) -> Callable[[str], str]:
    question = _FUNCTIONS[form]

    def check(text: str) -> str:
        try:
            fits = question(text)
        except ValueError:
            fits = False
        if not fits:
            raise PydanticCustomError("format", "should be in the format {form}", {"form": form})
        return text

    return check


def _is_regex(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def _is_base64(text: str) -> bool:
    binascii.a2b_base64(text, strict_mode=True)
    return True


def _is_ip(text: str) -> bool:
    from ipaddress import ip_interface  # noqa: PLC0415 - rarely needed, slow to import

    ip_interface(text)
    return True


def _is_complex(text: str) -> bool:
    complex(text)
    return True


_FUNCTIONS: Mapping[str, Callable[[str], bool]] = {
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "regex": _is_regex,
    "base64": _is_base64,
    "ipv4": lambda text: ":" not in text and "/" not in text and _is_ip(text),
    "ipv6": lambda text: ":" in text and "/" not in text and _is_ip(text),
    "ipvanyaddress": lambda text: "/" not in text and _is_ip(text),
    "ipvanyinterface": _is_ip,
    "complex": _is_complex,
}
