"""Finds JSON objects in the middle of text, tells whole ones from ones that stop short, and repairs whole ones."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from dspex.adapters.values import DuplicateKeyError, encode, is_array, is_object, raw_decode
from dspex.errors import CutOffError, ParseError
from dspex.kernel.ports import JSON

_OPENING = re.compile(r"\{|\[(?=\s*(?:\{|\Z))")
_KEY_FOLLOWS = re.compile(r"[{\[]\s*(?:[\"'“‘{]|[A-Za-z_]\w*\s*:|\Z)")  # noqa: RUF001 - typographic quotes
_TOKEN = re.compile(r"\\.|[\"'“”‘’{}\[\]]|(?<![:\w])//[^\n]*|/\*.*?\*/", re.DOTALL)  # noqa: RUF001 - as above
_CLOSERS = {'"': '"', "'": "'", "“": "”", "‘": "’"}  # noqa: RUF001 - as above
_GOES_ON = re.compile(r"\s*,?\s*[\"'](?!\s*\Z)")
_REMAINS = re.compile(r"[\"']\s*(?:[}\]:]|,\s*[\"'])")
_AMBIGUOUS = re.compile(r"(?:\A|[,:{}\[\]])\s*[\"'”’]|[\"'”’]\s*\Z")  # noqa: RUF001 - as above
"""A quote inside a string that could as well end it or begin another."""
_PAIRS = {"}": "{", "]": "["}
_AFTER_STRING = re.compile(r"\s*(?:[,:}\]]|//|/\*|\Z)")
_BEFORE_STRING = re.compile(r"(?:\A|[{\[,:(])\s*\Z")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_STRUCTURE = {ord(sign): None for sign in " \t\r\n\f\b,:{}[]\"'“”‘’\\"}  # noqa: RUF001 - as above
_BARE_POINT = re.compile(r"(?<![0-9])\.(?=[0-9])")
_JOINED = re.compile(r"[\"']\s*\+\s*[\"']")
_ESCAPED_WHOLE = re.compile(r"[{\[]\s*\\\"")
_COMMENT = re.compile(r"(?<![:\w\"'])//[^\n]*|/\*.*?\*/", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = re.compile(r"\b(?:None|null)\b")


@dataclass(frozen=True, slots=True)
class Found:
    """A JSON value in text[start:end]; `repaired` where json-repair had to mend it, None where it could not."""

    value: JSON
    start: int
    end: int
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
            _check_tail(text, start, position)
            yield Found(value, start, position)
            continue
        except DuplicateKeyError as error:
            raise ParseError(f"the answer gives the key {error}", problems=(str(error),)) from None
        except ValueError:
            pass
        scanned = _whole(text, start)
        if scanned is not None:
            position = scanned[0]
            _check_tail(text, start, position)
            yield Found(repaired(text[start:position]), start, position, True)
        elif _KEY_FOLLOWS.match(text, start):
            raise CutOffError(f"the answer stops inside the JSON that begins with {text[start : start + 40]!r}")
        else:
            position = start + 1


def _check_tail(text: str, start: int, end: int) -> None:
    """Raises ParseError where the text goes on as if the object had ended too early: a sign in it is lost or astray."""
    following = text.find("{", end)
    rest = text[end:] if following < 0 else text[end:following]
    wrapped = rest[:1] != "" and text[start - 1 : start] == rest[:1]
    if not wrapped and (_GOES_ON.match(rest) or _REMAINS.search(rest)):
        raise uncertain()


def uncertain() -> ParseError:
    """The refusal of JSON that no repair makes certain."""
    return ParseError("the JSON of the answer cannot be read for certain", problems=("the JSON is not valid",))


def _whole(text: str, start: int) -> tuple[int, list[str] | None] | None:
    """Where the brackets that open at `start` are all closed, and the quoted strings in them; None: they are not.

    The strings are None where a quote or a backslash stands outside of them, so that it is unclear what they are.
    """
    stack: list[str] = []
    strings: list[str] = []
    clear = True
    for sign, end, string in _signs(text, start):
        if sign == "string":
            strings.append(string)
        elif sign == "doubt":
            clear = False
        elif sign not in _PAIRS:
            stack.append(sign)
        elif not stack or stack.pop() != _PAIRS[sign]:
            return None
        elif not stack:
            return end, strings if clear else None
    return None


def _signs(text: str, start: int) -> Iterator[tuple[str, int, str]]:
    """What structures JSON from `start` on: (a bracket, "string" or "doubt"; where it ends; the string's inside).

    A quote opens a string only where a key or value may begin, and closes it only before `,`, `:`, a bracket or the
    end, so that quotes and apostrophes inside texts do no harm. Comments are skipped.
    """
    quote, opened, after = "", 0, start
    for token in _TOKEN.finditer(text, start):
        sign, place, end = token.group(), token.start(), token.end()
        if quote:
            if sign == quote and _AFTER_STRING.match(text, end):
                quote = ""
                inside = text[opened:place]
                yield (
                    "doubt" if sign in inside and _AMBIGUOUS.search(_ESCAPE.sub("", inside)) else "string",
                    end,
                    inside,
                )
        elif sign in _CLOSERS and _BEFORE_STRING.search(text[max(after, place - 40) : place]):
            quote, opened = _CLOSERS[sign], end
        elif sign.startswith(("//", "/*")):
            after = end
        else:
            yield sign if sign in "{}[]" else "doubt", end, ""


def repaired(source: str) -> JSON:
    """json-repair's reading of a whole object or list; None where it is in doubt.

    It may mend punctuation only: no letter or digit is added, dropped or changed, and every quoted string that a
    scan of our own finds is one of its strings too.
    """
    import json_repair  # noqa: PLC0415 - only for answers that are not JSON

    if _ESCAPED_WHOLE.match(source):
        source = source.replace('\\"', '"')
    scanned = _whole(source, 0)
    if scanned is None or scanned[1] is None or scanned[0] != len(source) or _JOINED.search(source):
        return None
    try:
        value = json_repair.loads(source, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict if source[0] == "{" else list) or not value:
        return None
    strings = [item for item in _leaves(value) if isinstance(item, str)]
    agreed = Counter(_ESCAPE.sub(_unescaped, item) for item in scanned[1]) <= Counter(strings)
    kept = "".join(_bare(item if isinstance(item, str) else encode(item)) for item in _leaves(value))
    return value if agreed and kept == _plain_letters(source) else None


def _plain_letters(source: str) -> str:
    """What must survive a repair: everything but white space, brackets, quotes, commas, colons and comments."""
    source = _WORDS.sub("null", _COMMENT.sub("", source))
    return _bare(_ESCAPE.sub(_unescaped, _BARE_POINT.sub("0.", source)))


def _bare(text: str) -> str:
    return text.casefold().translate(_STRUCTURE)


def _unescaped(found: re.Match[str]) -> str:
    if found.group(1):
        return chr(int(found.group(1), 16))
    return _ESCAPED.get(found.group(2), found.group(2))


def _leaves(value: JSON) -> Iterator[JSON]:
    """Keys and scalars, in the order in which they are written."""
    if is_object(value):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif is_array(value):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def nested_json(value: JSON) -> JSON:
    """The value inside a JSON string that holds JSON, otherwise the value."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
