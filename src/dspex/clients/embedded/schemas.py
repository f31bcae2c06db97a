"""Types as prompts write them (Python expressions, lists of choices, words, JSON Schema), as JSON Schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dspex.clients.embedded.sections import is_array, is_object, json_values

Schema = Mapping[str, Any]

_SIMPLE: dict[str, dict[str, Any]] = {
    "str": {"type": "string"}, "string": {"type": "string"}, "text": {"type": "string"},
    "int": {"type": "integer"}, "integer": {"type": "integer"},
    "float": {"type": "number"}, "number": {"type": "number"}, "decimal": {"type": "number"},
    "bool": {"type": "boolean"}, "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"}, "datetime": {"type": "string", "format": "date-time"},
    "none": {"type": "null"}, "null": {"type": "null"}, "nonetype": {"type": "null"},
    "list": {"type": "array"}, "array": {"type": "array"}, "tuple": {"type": "array"}, "set": {"type": "array"},
    "sequence": {"type": "array"}, "dict": {"type": "object"}, "object": {"type": "object"},
    "mapping": {"type": "object"}, "any": {},
}  # fmt: skip
_GENERIC = re.compile(r"(?:\w+\.)*(\w+)\s*\[(.*)\]$", re.DOTALL)
_QUOTED = re.compile(r"'([^'\n]{0,80})'|\"([^\"\n]{0,80})\"|`([^`\n]{1,80})`|“([^”\n]{1,80})”")
_LITERAL = re.compile(r"(?:Literal|Enum)\s*\[([^\]\n]*)\]", re.IGNORECASE)
_CHOICES = re.compile(
    r"(?:\b(?:exactly |any |either )?(?:one|1) of(?: the following(?: \w+){0,2}| these(?: \w+){0,2})?|\beither\b"
    r"|\b(?:allowed|possible|admissible|permitted|valid|accepted|available|candidate)\s+"
    r"(?:values|answers|labels|options|choices|categories|classes|outputs|names)(?:\s+(?:are|is))?"
    r"|\b(?:choose|pick|select|decide) (?:from|between|among)"
    r"|\b(?:options?|choices?|labels?|classify|categori[sz]e|tag|categor(?:y|ies)|class(?:es)?)(?=\s*:)"
    r"|\benum(?=\s*[:=\[]))\s*[:=]?\s*[\[({]?\s*([^\n]+)",
    re.IGNORECASE,
)
_ALTERNATIVES = re.compile(r"[\"'`][^\"'`\n]{1,60}[\"'`](?:\s*\|\s*[\"'`][^\"'`\n]{1,60}[\"'`])+")
_ITEM = r"[\"'`“]?[\w\-]+(?: [\w\-]+)?[\"'`”]?"
_AS_LIST = re.compile(
    rf"\b(?:as|answer(?: with)?|say|reply(?: with)?|respond with|whether it is|is (?:it|this|that|the \w+))\s+"
    rf"((?:{_ITEM}\s*,\s*)*{_ITEM},?\s+or\s+{_ITEM})"
    rf"|\binto\s+((?:{_ITEM}\s*,\s*)*{_ITEM},?\s+(?:or|and)\s+{_ITEM})",
    re.IGNORECASE,
)
_TYPE_WORDS = (
    (re.compile(r"\b(?:true or false|yes/no flag|boolean|bool)\b", re.I), {"type": "boolean"}),
    (re.compile(r"\b(?:integer|int|whole number)\b", re.I), {"type": "integer"}),
    (re.compile(r"\b(?:float|decimal|a number|number between|numeric)\b", re.I), {"type": "number"}),
    (re.compile(r"\b(?:YYYY-MM-DD|ISO date|a date)\b", re.I), {"type": "string", "format": "date"}),
    (re.compile(r"\b(?:(?:a|json) (?:list|array)|list of|array of)\b", re.I), {"type": "array"}),
)


def _top_level(text: str, separator: str) -> list[str]:
    """Parts between separators that stand outside brackets and quotes."""
    parts: list[str] = []
    depth, quote, start = 0, "", 0
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[({":
            depth += 1
        elif letter in "])}":
            depth -= 1
        elif letter == separator and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def _literal(inside: str) -> Schema | None:
    values = [_literal_value(part) for part in _top_level(inside, ",")]
    return {"enum": values} if values else None


def _literal_value(part: str) -> Any:
    """A value of a Literal: a quoted text, a number, True, False or None; bare words as they are."""
    if re.fullmatch(r"-?\d+(?:\.\d+)?|true|false|null", part):
        return json.loads(part)
    named: dict[str, Any] = {"True": True, "False": False, "None": None}
    return named[part] if part in named else part.strip("'\"` ")


def _union(parts: list[str]) -> Schema | None:
    if all(re.fullmatch(r"'[^']*'|\"[^\"]*\"", part) for part in parts):
        return {"enum": [part[1:-1] for part in parts]}
    options = [schema_of_type(part) for part in parts]
    return {"anyOf": options} if all(option is not None for option in options) else None


@lru_cache(maxsize=1_024)
def schema_of_type(expression: str) -> Schema | None:
    """The schema of a type written as in Python, like "Literal['a', 'b']" or "list[int] | None"; None: no type."""
    text = expression.strip().strip("`").strip()
    alternatives = _top_level(text, "|")
    if len(alternatives) > 1:
        return _union(alternatives)
    simple = _SIMPLE.get(text.lower().rpartition(".")[2])
    if simple is not None:
        return simple
    found = _GENERIC.match(text)
    return None if found is None else _generic(found.group(1).lower(), found.group(2))


def _generic(name: str, inside: str) -> Schema | None:
    if name in {"literal", "enum"}:
        return _literal(inside)
    arguments = _top_level(inside, ",")
    if name == "annotated":
        return schema_of_type(arguments[0])
    if name == "optional":
        return _union([inside, "None"])
    if name == "union":
        return _union(arguments)
    if name in {"list", "sequence", "set", "tuple", "iterable", "frozenset"}:
        return {"type": "array", "items": (schema_of_type(arguments[0]) if arguments else None) or {}}
    if name in {"dict", "mapping"}:
        return {"type": "object", "additionalProperties": (schema_of_type(arguments[-1]) if arguments else None) or {}}
    return None


def listed(text: str) -> list[str]:
    """The items of a written list: quoted ones when there are any, else parts between separators; [] for prose."""
    quoted = [next(part for part in found if part) for found in _QUOTED.findall(text) if any(found)]
    if len(quoted) >= 2:
        return list(dict.fromkeys(quoted))
    sentence = re.split(r"[\])}]|\.(?:\s|$)|\s#|\s-{1,2}\s|(?<=\w)\s\(|\s*<", text)[0].strip(" ;,|/")
    if ";" in sentence:
        parts = sentence.split(";")
    elif "|" in sentence:
        parts = sentence.split("|")
    elif "/" in sentence and "," not in sentence:
        parts = sentence.split("/")
    else:
        parts = re.split(r",\s*(?:or\s+|and\s+)?|\s+or\s+|\s+and\s+", sentence)
    items = [part.strip(" \t'\"`*.:") for part in parts]
    items = [re.sub(r"^(?:or|and)\s+", "", item) for item in items if item]
    return list(dict.fromkeys(items)) if all(len(item.split()) <= 4 for item in items) else []


def choices_in(text: str) -> list[str]:
    """The admissible answers that a text lists, in order; [] where it lists none."""
    found = _LITERAL.search(text)
    if found is not None:
        schema = _literal(found.group(1))
        return [str(value) for value in schema["enum"]] if schema else []
    alternatives = _ALTERNATIVES.search(text)
    if alternatives is not None:
        return listed(alternatives.group())
    for pattern in (_CHOICES, _AS_LIST):
        for match in pattern.finditer(text):
            items = listed(next(part for part in match.groups() if part))
            if len(items) >= 2:
                return items
    return []


def schema_in(text: str) -> Schema | None:
    """The type that a piece of a prompt about one field tells, or None."""
    told = schema_of_words(_parenthesis(text))
    if told is not None:
        return told
    found = _first_json_schema(text)
    if found is not None:
        return found
    choices = choices_in(text)
    if choices:
        return {"enum": choices}
    for expression in re.findall(r"\(([^()\n]*(?:\([^()]*\)[^()\n]*)*)\)|\bPython ([^)\n]+)\)|^\s*:\s*([^\n#]+)", text):
        written = next((part for part in expression if part), "?")
        schema = schema_of_type(written) or schema_of_type(written.split(",")[0] or "?")
        if schema:
            return schema
    return next((dict(schema) for pattern, schema in _TYPE_WORDS if pattern.search(text)), None)


def _first_json_schema(text: str) -> Schema | None:
    for _, _, value in json_values(text):
        if is_object(value) and {"type", "enum", "anyOf", "$ref"} & value.keys():
            return value
        if is_array(value) and len(value) >= 2 and all(isinstance(item, str) for item in value):
            return {"enum": value}
    return None


def _parenthesis(text: str) -> str:
    """The inside of the parenthesis with which a text begins, "" where it begins otherwise."""
    stripped = text.lstrip()
    if not stripped.startswith("("):
        return ""
    depth = 0
    for index, letter in enumerate(stripped):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return stripped[1:index]
    return ""


_LIST_WORDS = re.compile(
    r"(?:an? |the )?(?:valid )?(?:JSON )?(?:list|array)(?: of (?P<exact>exactly: )?(?P<items>.+))?$", re.S | re.I
)
_VALUES_WORDS = re.compile(r"(?:an? )?(?:JSON )?(?:object|dictionary|mapping), each value (?P<values>.+)$", re.S | re.I)
_OBJECT_WORDS = re.compile(r"(?:an? )?(?:JSON )?object\b", re.I)
_NULLABLE = re.compile(r",? or null\s*$|; may be left out\s*$", re.I)
_LEADING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("true or false", {"type": "boolean"}),
    ("integer", {"type": "integer"}),
    ("number", {"type": "number"}),
    ("date and time", {"type": "string", "format": "date-time"}),
    ("date", {"type": "string", "format": "date"}),
    ("time as", {"type": "string", "format": "time"}),
    ("duration", {"type": "string", "format": "duration"}),
    ("uuid", {"type": "string", "format": "uuid"}),
    ("url", {"type": "string", "format": "uri"}),
    ("text", {"type": "string"}),
    ("string", {"type": "string"}),
    ("null", {"type": "null"}),
    ("any json value", {}),
)


def schema_of_words(text: str) -> Schema | None:
    """The schema of a type in words: "JSON list of integer, at least 2 items", "one of: a; b, or null"; else None."""
    words = _NULLABLE.sub("", text.strip())
    found = _LIST_WORDS.match(words)
    if found is not None:
        return _list_of_words(found.group("items") or "", bool(found.group("exact")))
    found = _VALUES_WORDS.match(words)
    if found is not None:
        return {"type": "object", "additionalProperties": schema_of_words(found.group("values")) or {}}
    if _OBJECT_WORDS.match(words):
        return _first_json_schema(words) or {"type": "object"}
    if words.lower().startswith("one of"):
        choices = choices_in(words)
        return {"enum": choices} if choices else None
    lowered = words.lower()
    known = next((schema for start, schema in _LEADING if re.match(rf"{start}(?!\w)", lowered)), None)
    return None if known is None else {**known, **_limits(words)}


def _list_of_words(items: str, exact: bool) -> Schema:
    if exact:
        parts = [schema_of_words(part) or {} for part in _top_level(items, ",")]
        return {"type": "array", "prefixItems": parts}
    return {"type": "array", "items": (schema_of_words(items) if items else None) or {}, **_sizes(items)}


def _limits(words: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, pattern in (
        (
            "minimum",
            r"(?:at least|more than|from|between)\s+(-?\d+(?:\.\d+)?)(?! (?:items|characters))"
            r"|(-?\d+(?:\.\d+)?) to -?\d",
        ),
        (
            "maximum",
            r"(?:at most|less than)\s+(-?\d+(?:\.\d+)?)(?! (?:items|characters))|\d (?:to|and) (-?\d+(?:\.\d+)?)",
        ),
    ):
        match = re.search(pattern, words)
        if match is not None:
            found[name] = float(next(part for part in match.groups() if part))
    return found


def _sizes(words: str) -> dict[str, Any]:
    least, most = re.search(r"at least (\d+) items", words), re.search(r"at most (\d+) items", words)
    sizes: dict[str, Any] = {"minItems": int(least.group(1))} if least else {}
    return {**sizes, "maxItems": int(most.group(1))} if most else sizes


def parsed_schema(text: str) -> Schema:
    """A JSON Schema out of its JSON text; {} for anything but an object."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if is_object(value) else {}
