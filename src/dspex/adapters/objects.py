"""Finds JSON objects in the middle of text, tells whole ones from ones that stop short, and repairs whole ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from dspex.adapters.values import DuplicateKeyError, encode, is_array, is_object, raw_decode
from dspex.errors import CutOffError, ParseError
from dspex.kernel.ports import JSON

_OPENING = re.compile(r"\{|\[(?=\s*(?:\{|\Z))")
_KEY_FOLLOWS = re.compile(r"[{\[]\s*(?:[\"'“‘{]|[A-Za-z_]\w*\s*:|\Z)")  # noqa: RUF001 - typographic quotes
_TOKEN = re.compile(r"\\.|[\"'“”‘’{}\[\]]|(?<![:\w])//[^\n]*|/\*.*?\*/", re.DOTALL)  # noqa: RUF001 - as above
_CLOSERS = {'"': '"', "'": "'", "“": "”", "‘": "’"}  # noqa: RUF001 - as above
_PAIRS = {"}": "{", "]": "["}
_AFTER_STRING = re.compile(r"\s*(?:[,:}\]]|//|/\*|\Z)")
_BEFORE_STRING = re.compile(r"[{\[,:(/]\s*\Z")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_STRUCTURE = {ord(sign): None for sign in " \t\r\n\f\b,:{}[]\"'“”‘’\\"}  # noqa: RUF001 - as above
_JOINED = re.compile(r"[\"']\s*\+\s*[\"']")
_WORDS = re.compile(r"\b(?:None|null)\b")


@dataclass(frozen=True, slots=True)
class Found:
    """A JSON value in a text. `repaired` where json-repair had to mend its punctuation."""

    value: JSON
    repaired: bool = False


def find_objects(text: str) -> Iterator[Found]:
    """Every outermost JSON object, or list of objects, in order.

    Raises CutOffError where one begins and does not end, ParseError for one with a key twice.
    """
    position = 0
    while (opening := _OPENING.search(text, position)) is not None:
        start = opening.start()
        try:
            value, position = raw_decode(text, start)
            yield Found(value)
            continue
        except DuplicateKeyError as error:
            raise ParseError(f"the answer gives the key {error}", problems=(str(error),)) from None
        except ValueError:
            pass
        end = _end_of(text, start)
        if end is not None:
            mended = _repaired(text[start:end])
            if mended is not None:
                yield Found(mended, True)
            position = end
        elif _KEY_FOLLOWS.match(text, start):
            raise CutOffError(f"the answer stops inside the JSON that begins with {text[start : start + 40]!r}")
        else:
            position = start + 1


def _end_of(text: str, start: int) -> int | None:
    """Where the brackets that open at `start` are all closed, strings and comments skipped; None: they are not.

    A quote opens a string only where a key or value may begin, and closes it only before `,`, `:`, a bracket or the
    end, so that quotes and apostrophes inside texts do no harm.
    """
    stack: list[str] = []
    quote = ""
    for token in _TOKEN.finditer(text, start):
        sign = token.group()
        if quote:
            if sign == quote and _AFTER_STRING.match(text, token.end()):
                quote = ""
        elif sign in _CLOSERS:
            if _BEFORE_STRING.search(text, max(start, token.start() - 40), token.start()):
                quote = _CLOSERS[sign]
        elif sign in "{[":
            stack.append(sign)
        elif sign in _PAIRS:
            if not stack or stack.pop() != _PAIRS[sign]:
                return None
            if not stack:
                return token.end()
    return None


def _repaired(source: str) -> JSON:
    """json-repair's reading of a whole object, or None where that adds, drops or changes a letter or digit."""
    import json_repair  # noqa: PLC0415 - only for answers that are not JSON

    if _JOINED.search(source):
        return None

    try:
        value = json_repair.loads(source, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict | list) or not value:
        return None
    kept = "".join(_letters(value))
    return value if kept == _plain_letters(_uncommented(source)) else None


def _uncommented(source: str) -> str:
    return re.sub(r"(?<![:\w\"'])//[^\n]*|/\*.*?\*/", "", source, flags=re.DOTALL)


def _plain_letters(source: str) -> str:
    plain = _ESCAPE.sub(_unescaped, _WORDS.sub("null", source))
    return plain.casefold().translate(_STRUCTURE)


def _unescaped(found: re.Match[str]) -> str:
    if found.group(1):
        return chr(int(found.group(1), 16))
    return " " if found.group(2) in "bfnrt" else found.group(2)


def _letters(value: JSON) -> Iterator[str]:
    if is_object(value):
        for key, item in value.items():
            yield from _letters(key)
            yield from _letters(item)
    elif is_array(value):
        for item in value:
            yield from _letters(item)
    else:
        text = value if isinstance(value, str) else encode(value)
        yield text.casefold().translate(_STRUCTURE)


def nested_json(value: JSON) -> JSON:
    """The value inside a JSON string that holds JSON, otherwise the value."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
