"""The small table of coercions: what may be changed in a value so that it fits its schema, each change noted.

Letter case, separators and dressing (quotes, emphasis, trailing punctuation) of keys and admissible values; numbers
and true/false/yes/no written as text; whole numbers written with a point; JSON and bulleted lists inside text; null for
what may be left out. Never: units, percent signs, thousands separators, words for numbers, rounding, invented fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dspex.adapters.objects import repaired
from dspex.adapters.values import DuplicateKeyError, encode, is_array, is_object, loads
from dspex.adapters.wording import admitted, resolved, type_name
from dspex.kernel.ports import JSON

_DRESSED = re.compile(r"^[\s*_`\"'“”‘’]*(.*?)[\s*_`\"'“”‘’.,;:!]*$", re.DOTALL)  # noqa: RUF001 - typographic quotes
_LONGEST = 300
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}(?:\.0*)?")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_BULLET = re.compile(r"[ \t]*(?:[-*•]|[0-9]{1,3}[.)])[ \t]+(\S.*?)[ \t\r]*")
_FENCE = re.compile(r"\s*```[\w-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```\s*", re.DOTALL)
_BRACKETED = re.compile(r"[(\[]([^()\[\]]+)[)\]]")
_WORDS = {"true": True, "yes": True, "false": False, "no": False}
_NULLS = frozenset({"null", "none"})


class Coercion:
    """One pass over the values of an answer; `notes` gathers what was changed."""

    __slots__ = ("_defs", "notes")

    def __init__(self, defs: Mapping[str, Any] | None = None) -> None:
        self._defs: Mapping[str, Any] = defs or {}
        self.notes: list[str] = []

    def field(self, name: str, value: JSON, schema: Mapping[str, Any]) -> JSON:
        """`value` as near to the schema of field `name` as the table allows."""
        self._defs = schema.get("$defs", {})
        return self._value(name, value, schema, 0)

    def _value(self, path: str, value: JSON, schema: Mapping[str, Any], depth: int) -> JSON:
        if depth > 32:
            return value
        schema = resolved(schema, self._defs)
        if "enum" in schema or "const" in schema:
            return self._choice(path, value, list(schema.get("enum", [schema.get("const")])))
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._union(path, value, schema[key], depth)
        maker = _MAKERS.get(str(schema.get("type")))
        return value if maker is None else maker(self, path, value, schema, depth)

    def _changed(self, path: str, before: JSON, after: JSON, how: str) -> JSON:
        self.notes.append(f"{path}: {how} {_short(before)} as {_short(after)}")
        return after

    def _choice(self, path: str, value: JSON, choices: list[JSON]) -> JSON:
        if any(type(item) is type(value) and item == value for item in choices):
            return value
        if not isinstance(value, str | int) or isinstance(value, bool):
            return value
        wanted = _plain_choice(str(value))
        near = [item for item in choices if not isinstance(item, bool) and _plain_choice(_as_text(item)) == wanted]
        if isinstance(value, str) and not near:
            near = [item for item in choices if isinstance(item, bool) and _WORDS.get(wanted) is item]
        return self._changed(path, value, near[0], "read") if len(near) == 1 and wanted else value

    def _union(self, path: str, value: JSON, options: list[Mapping[str, Any]], depth: int) -> JSON:
        kinds = [admitted(item, self._defs) for item in options]
        own = type_name(value)
        if own == "string" and (value in ("null", "None") or not any("string" in kind for kind in kinds)):
            nullable = any("null" in kind for kind in kinds)
            if nullable and _undressed(str(value)).casefold() in _NULLS:
                return self._changed(path, value, None, "read")
        fitting = [o for o, k in zip(options, kinds, strict=True) if own in k or (own == "integer" and "number" in k)]
        for option in fitting or options:
            mark = len(self.notes)
            changed = self._value(path, value, option, depth + 1)
            if type_name(changed) in admitted(option, self._defs) and (len(self.notes) > mark or len(fitting) == 1):
                return changed
            del self.notes[mark:]
        return value

    def _integer(self, path: str, value: JSON, schema: Mapping[str, Any], depth: int) -> JSON:
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            return self._changed(path, value, int(value), "whole number read")
        if isinstance(value, str) and _WHOLE.fullmatch(text := _undressed(value)):
            return self._changed(path, value, int(text.partition(".")[0]), "number in text read")
        return value

    def _number(self, path: str, value: JSON, schema: Mapping[str, Any], depth: int) -> JSON:
        if isinstance(value, str) and _DECIMAL.fullmatch(text := _undressed(value)):
            return self._changed(path, value, float(text), "number in text read")
        return value

    def _boolean(self, path: str, value: JSON, schema: Mapping[str, Any], depth: int) -> JSON:
        if isinstance(value, str) and (word := _undressed(value).casefold()) in _WORDS:
            return self._changed(path, value, _WORDS[word], "read")
        return value

    def _string(self, path: str, value: JSON, schema: Mapping[str, Any], depth: int) -> JSON:
        if isinstance(value, int) and not isinstance(value, bool):
            return self._changed(path, value, str(value), "number taken as text,")
        if isinstance(value, str) and (schema.get("format") or "pattern" in schema) and (bare := _undressed(value)):
            return value if bare == value else self._changed(path, value, bare, "read")
        return value

    def _array(self, path: str, value: JSON, schema: Mapping[str, Any], depth: int) -> JSON:
        if isinstance(value, str):
            value = self._from_text(path, value, list)
        if isinstance(value, str) and "prefixItems" not in schema:
            lines = [line for line in value.splitlines() if line.strip()]
            found = [_BULLET.fullmatch(line) for line in lines]
            if found and all(found):
                items = [match.group(1) for match in found if match]
                value = self._changed(path, value, items, "bulleted lines read")
        if not is_array(value):
            return value
        parts: list[Mapping[str, Any]] = schema.get("prefixItems") or [schema.get("items") or {}] * len(value)
        if len(parts) != len(value):
            return value
        return [self._value(f"{path}.{i}", v, s, depth + 1) for i, (v, s) in enumerate(zip(value, parts, strict=True))]

    def _object(self, path: str, value: JSON, schema: Mapping[str, Any], depth: int) -> JSON:
        if isinstance(value, str):
            value = self._from_text(path, value, dict)
        if not is_object(value):
            return value
        known: Mapping[str, Any] = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        folded = unique_keys(tuple(known))
        result: dict[str, JSON] = {}
        for key, item in value.items():
            name = key if key in known else folded.get(plain_key(key), key)
            if name in result or (name != key and name in value):
                return value
            if name != key:
                self.notes.append(f"{path}: key {key!r} read as {name!r}")
            inner = known.get(name, extra if isinstance(extra, dict) else None)
            result[name] = item if inner is None else self._value(f"{path}.{name}", item, inner, depth + 1)
        return result

    def _from_text(self, path: str, text: str, kind: type) -> JSON:
        fenced = _FENCE.fullmatch(text)
        text = fenced.group(1) if fenced else text
        bare = text.strip()
        try:
            value = loads(bare)
        except DuplicateKeyError:
            return text
        except ValueError:
            value = repaired(bare) if bare[:1] in ("[", "{") else None
        return self._changed(path, text, value, "JSON in text read") if isinstance(value, kind) else text


_MAKERS: dict[str, Callable[[Coercion, str, JSON, Mapping[str, Any], int], JSON]] = {
    "integer": Coercion._integer,  # pyright: ignore[reportPrivateUsage]
    "number": Coercion._number,  # pyright: ignore[reportPrivateUsage]
    "boolean": Coercion._boolean,  # pyright: ignore[reportPrivateUsage]
    "string": Coercion._string,  # pyright: ignore[reportPrivateUsage]
    "array": Coercion._array,  # pyright: ignore[reportPrivateUsage]
    "object": Coercion._object,  # pyright: ignore[reportPrivateUsage]
}


def plain_key(name: str) -> str:
    """A key as it is compared: letter case, spaces, hyphens and dressing aside."""
    return re.sub(r"[\s\-]+", "_", _undressed(name)).casefold()


def unique_keys(names: Sequence[str]) -> dict[str, str]:
    """Compared form to name, for those names that do not share it with another."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(plain_key(name), []).append(name)
    return {key: same[0] for key, same in found.items() if len(same) == 1}


def _plain_choice(text: str) -> str:
    bare = re.sub(r"[\s_\-]+", " ", _undressed(text)).strip().casefold()
    bracketed = _BRACKETED.fullmatch(bare)
    return bracketed.group(1) if bracketed else bare


def _undressed(text: str) -> str:
    fenced = _FENCE.fullmatch(text)
    text = fenced.group(1) if fenced else text
    # Longer texts are no key, number or admissible value in a dress, and would make the pattern slow.
    found = _DRESSED.match(text) if len(text) <= _LONGEST else None
    return found.group(1) if found else text


def _as_text(value: JSON) -> str:
    return value if isinstance(value, str) else encode(value)


def _short(value: JSON) -> str:
    text = encode(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
