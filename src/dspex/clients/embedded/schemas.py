"""Types as prompts write them (Python expressions, lists of choices, words, JSON Schema), as JSON Schemas."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dspex.clients.embedded.sections import json_values

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
    r"|\b(?:choose|pick|select|decide) (?:from|between|among)|\b(?:options|choices|labels|categories|classes)(?=\s*:)"
    r"|\benum(?=\s*[:=\[]))\s*[:=]?\s*[\[({]?\s*([^\n]+)",
    re.IGNORECASE,
)
_ITEM = r"[\"'`“]?[\w\-]+(?: [\w\-]+)?[\"'`”]?"
_AS_LIST = re.compile(
    rf"\b(?:as|answer(?: with)?|say|reply(?: with)?|respond with|whether it is)\s+((?:{_ITEM}\s*,\s*)*{_ITEM},?\s+or\s+{_ITEM})"
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
    parts, depth, quote, start = [], 0, "", 0
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
    values: list[Any] = []
    for part in _top_level(inside, ","):
        try:
            values.append(ast.literal_eval(part))
        except (ValueError, SyntaxError):
            values.append(part.strip("'\"` "))
    return {"enum": values} if values else None


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
    sentence = re.split(r"[\])}]|\.(?:\s|$)|\s#|\s-{1,2}\s|(?<=\w)\s\(|\s*<", text)[0]
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
    for pattern in (_CHOICES, _AS_LIST):
        for match in pattern.finditer(text):
            items = listed(next(part for part in match.groups() if part))
            if len(items) >= 2:
                return items
    return []


def schema_in(text: str) -> Schema | None:
    """The type that a piece of a prompt about one field tells, or None."""
    for _, _, value in json_values(text):
        if isinstance(value, dict) and ("type" in value or "enum" in value or "anyOf" in value or "$ref" in value):
            return value
        if isinstance(value, list) and len(value) >= 2 and all(isinstance(item, str) for item in value):
            return {"enum": value}
    choices = choices_in(text)
    if choices:
        return {"enum": choices}
    for expression in re.findall(r"\(([^()\n]*(?:\([^()]*\)[^()\n]*)*)\)|\bPython ([^)\n]+)\)|^\s*:\s*([^\n#]+)", text):
        schema = schema_of_type(next((part for part in expression if part), "").split(",")[0] or "?")
        if schema is None:
            schema = schema_of_type(next((part for part in expression if part), "?"))
        if schema:
            return schema
    return next((dict(schema) for pattern, schema in _TYPE_WORDS if pattern.search(text)), None)


def parsed_schema(text: str) -> Schema:
    """A JSON Schema out of its JSON text; {} for anything but an object."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
