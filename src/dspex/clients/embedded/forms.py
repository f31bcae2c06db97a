"""Finds which output fields a prompt asks for, of which type and in which notation, and writes answers in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dspex.clients.embedded.schemas import Schema, parsed_schema, schema_in
from dspex.clients.embedded.sections import (
    MARKER,
    Style,
    as_text,
    heading_heads,
    is_object,
    json_values,
    label_heads,
    plain_key,
)

_ENDINGS = frozenset({"completed", "complete", "done", "end", "finished"})
_JSON_WORD = re.compile(r"\bJSON\b|\bjson\b")
_NAME = r"[A-Za-z_][\w.\-]{0,60}"
_TICKED = re.compile(rf"[`\"]({_NAME})[`\"]")
_OPEN_TAG = re.compile(rf"<({_NAME})>")
_OBJECT_KEY = re.compile(rf"[{{,]\s*[\"'“]?({_NAME})[\"'”]?\s*:")
_LIST_HEAD = re.compile(
    r"^[^\n]*\b(?:outputs?|answer|respond|reply|return|produce|predict|fill)\b[^\n]*:[ \t]*$", re.I | re.M
)
_LIST_ITEM = re.compile(rf"^[ \t]*(?:\d+[.)]|[-*•])[ \t]*[`\"*]{{0,2}}({_NAME})[`\"*]{{0,2}}[ \t]*(?=[(:\u2013-]|$)")
_RULE_HEAD = re.compile(r"^[ \t]*[-*•][ \t]+[*_`\"]{0,2}(\w[\w -]{0,30}?)[*_`\"]{0,2}[ \t]*:[ \t]+\S", re.MULTILINE)
_PLACEHOLDER = re.compile(
    r"^\s*(?:\{[^\n]*|<[^\n]*|\.\.\.[^\n]*|…[^\n]*|\[[^\n]*|\([^\n]*|your [^\n]*|the [^\n]*)?$", re.I
)


@dataclass(frozen=True, slots=True)
class Field:
    """One output: its name ("" where the answer is bare text), its JSON Schema, and what the prompt says of it."""

    name: str
    schema: Schema
    about: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """How the answer is to be written. `opening` holds the header of a field with {name} in it."""

    style: Style
    fields: tuple[Field, ...]
    opening: str = "{name}:"
    ending: str = ""
    defs: Schema | None = None


def shape_of(keys: Sequence[str], style: Style, opening: str) -> Shape:
    """The shape of an answer that was shown."""
    names = tuple(key for key in keys if plain_key(key) not in _ENDINGS)
    ending = next((opening.replace("{name}", key) for key in keys if plain_key(key) in _ENDINGS), "")
    return Shape(style, names, opening, ending)


@dataclass(frozen=True, slots=True)
class Shape:
    """A notation and the names in it, as one place of the prompt shows them."""

    style: Style
    names: tuple[str, ...]
    opening: str = "{name}:"
    ending: str = ""


def read_form(
    guidance: str,
    demand: str,
    shown: tuple[Shape, ...],
    asked: frozenset[str],
    cue: str | None,
    response_format: str,
) -> Form:
    """The form of the answer, from (in this order) the wire's JSON Schema, the closing demand, answers shown before,
    and the instructions. `asked` are the plain keys of the inputs, which are no outputs."""
    schema = _wire_schema(response_format)
    if schema.get("properties"):
        return _form_of_schema(schema, guidance, demand)
    if cue is not None:
        return _typed(Shape("plain", (cue,)), guidance, demand)
    shapes = [_shape_in(demand, asked), *shown[:1], _shape_in(guidance, asked)]
    written = next((shape for shape in shapes if shape.style != "plain"), Shape("plain", ()))
    if response_format and written.style != "json":
        written = Shape("json", ())
    if not written.names:
        named = [shape.names for shape in shapes if shape.names and shape.names != ("",)]
        written = replace(written, names=named[0] if named else _listed_outputs(guidance, asked))
    if written.style == "json":
        schema = _schema_in_prompt(guidance, demand)
        if schema.get("properties") and set(written.names) <= set(schema["properties"]):
            return _form_of_schema(schema, guidance, demand)
    if written.style == "plain" and len(written.names) > 1:
        written = replace(written, style="labels")
    return _typed(written, guidance, demand)


def _wire_schema(response_format: str) -> Schema:
    """The JSON Schema that the request carries beside its messages; {} where there is none."""
    value: Schema = parsed_schema(response_format) if response_format else {}
    inner: Schema = value.get("json_schema", value)
    if is_object(inner):
        inner = inner.get("schema", inner)
    return inner if is_object(inner) else {}


def _schema_in_prompt(guidance: str, demand: str) -> Schema:
    for text in (demand, guidance):
        for _, _, value in json_values(text):
            if is_object(value) and is_object(value.get("properties")):
                return value
    return {}


def _form_of_schema(schema: Schema, guidance: str, demand: str) -> Form:
    abouts = _abouts(tuple(schema["properties"]), f"{demand}\n{guidance}")
    fields: list[Field] = []
    for name, part in schema["properties"].items():
        typed = dict(part) if is_object(part) else {}
        words = "\n".join(abouts[name])
        if typed.get("type") == "string" and "enum" not in typed:
            told = schema_in(words)
            typed = {**typed, **told} if told and {"enum", "format"} & told.keys() else typed
        fields.append(Field(name, typed, f"{typed.get('description', '')}\n{words}".strip()))
    return Form("json", tuple(fields), defs=schema.get("$defs") or schema.get("definitions"))


def _shape_in(text: str, asked: frozenset[str]) -> Shape:
    """The notation of outputs that a text describes or shows as a template."""
    markers = list(MARKER.finditer(text))
    names = _outputs([found.group(1) for found in markers], asked)
    if names:
        found = next(found for found in markers if found.group(1) == names[0])
        ending = next((found.group(0) for found in markers if plain_key(found.group(1)) in _ENDINGS), "")
        return Shape("markers", names, found.group(0).replace(names[0], "{name}"), ending)
    if _JSON_WORD.search(text):
        return Shape("json", _json_names(text, asked))
    tags = [name for name in _OPEN_TAG.findall(text) if f"</{name}>" in text or "tag" in text or "xml" in text.lower()]
    if names := _outputs(tags, asked):
        return Shape("tags", names)
    for heads, style in ((heading_heads(text), "headings"), (label_heads(text), "labels")):
        ends = [head[0] for head in heads[1:]] + [len(text)]
        blanks = [h for h, end in zip(heads, ends, strict=False) if _PLACEHOLDER.match(text[h[1] : end].strip(" \n\t"))]
        blanks = [head for head in blanks if text[head[1] :].lstrip(" \t\n")[:1] in {"{", "<", ".", "…", "(", "["}]
        if names := _outputs([head[2] for head in blanks], asked):
            opening = text[blanks[0][0] : blanks[0][1]].strip().replace(blanks[0][2], "{name}")
            return Shape("headings" if style == "headings" else "labels", names, opening)
    return Shape("plain", ())


def _outputs(names: Sequence[str], asked: frozenset[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for n in names if plain_key(n) not in asked and plain_key(n) not in _ENDINGS))


def _json_names(text: str, asked: frozenset[str]) -> tuple[str, ...]:
    """Names of the members that a JSON answer shall have, from a schema, a template object or names in backticks."""
    for _, _, value in json_values(text):
        if is_object(value) and value and "type" not in value and "enum" not in value:
            return _outputs(list(value), asked)
        if is_object(value) and is_object(value.get("properties")):
            return tuple(value["properties"])
    brace = text.find("{")
    template = _outputs(_OBJECT_KEY.findall(text[brace:]), asked) if brace >= 0 else ()
    return template or _outputs(_TICKED.findall(text), asked)


def _listed_outputs(guidance: str, asked: frozenset[str]) -> tuple[str, ...]:
    """Names in a list under a line like "Your output fields are:"."""
    for head in _LIST_HEAD.finditer(guidance):
        names: list[str] = []
        for line in guidance[head.end() :].strip("\n").split("\n"):
            found = _LIST_ITEM.match(line)
            if found is None:
                break
            names.append(found.group(1))
        if names:
            return _outputs(names, asked)
    return ()


def _typed(shape: Shape, guidance: str, demand: str) -> Form:
    names = shape.names or ("",)
    if names == ("",) or (shape.style == "plain" and len(names) == 1):
        told = schema_in(demand) or schema_in(
            _abouts(names, guidance)[names[0]][0] if names[0] and _abouts(names, guidance)[names[0]] else ""
        )
        schema = told or _plain_schema(guidance)
        return Form("plain", (Field(names[0], schema, ""),))
    abouts = _abouts(names, f"{demand}\n{guidance}")
    fields = tuple(Field(name, _best_schema(abouts[name]), "\n".join(abouts[name])) for name in names)
    return Form(shape.style, fields, shape.opening, shape.ending)


def _plain_schema(guidance: str) -> Schema:
    """The type of a bare answer: choices where the instructions list some or have a rule for each, else free text."""
    told = schema_in(guidance)
    if told is not None and "enum" in told:
        return told
    heads = list(dict.fromkeys(found.group(1) for found in _RULE_HEAD.finditer(guidance)))
    return {"enum": heads} if len(heads) > 1 and all(len(head.split()) <= 3 for head in heads) else {"type": "string"}


def _best_schema(pieces: Sequence[str]) -> Schema:
    schemas = [schema for schema in map(schema_in, pieces) if schema]
    return next((s for s in schemas if "enum" in s), schemas[0] if schemas else {"type": "string"})


def _abouts(names: Sequence[str], text: str) -> dict[str, list[str]]:
    """What a text says right after each name, up to the next name or the end of the line."""
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True) if name)
    pieces: dict[str, list[str]] = {name: [] for name in names}
    if not alternatives:
        return pieces
    mention = re.compile(
        rf"[`\"'{{<*](?P<a>{alternatives})[`\"'}}>*]+|\[\[\s*#*\s*(?P<b>{alternatives})\s*#*\s*\]\]`?"
        rf"|(?<!\w)(?P<c>{alternatives})(?=\s*[(:=\[]|\s+(?:is|must be|should be)\b)"
    )
    found = list(mention.finditer(text))
    for index, match in enumerate(found):
        end = found[index + 1].start() if index + 1 < len(found) else len(text)
        piece = text[match.end() : end]
        line = piece.partition("\n")[0].strip()
        if len(line) < 3:
            line = piece.strip().partition("\n")[0].strip()
        if line:
            pieces[match.group("a") or match.group("b") or match.group("c")].append(line)
    return pieces


def write(form: Form, values: Mapping[str, Any]) -> str:
    """The values of all fields in the form's notation."""
    if form.style == "json":
        return json.dumps({field.name: values[field.name] for field in form.fields}, ensure_ascii=False)
    if form.style == "plain":
        return as_text(values[form.fields[0].name])
    parts: list[str] = []
    for field in form.fields:
        text = as_text(values[field.name])
        if form.style == "tags":
            parts.append(f"<{field.name}>\n{text}\n</{field.name}>")
        elif form.style == "labels":
            parts.append(f"{form.opening.replace('{name}', field.name)} {text}")
        else:
            parts.append(f"{form.opening.replace('{name}', field.name)}\n{text}")
    joined = "\n".join(parts) if form.style == "labels" else "\n\n".join(parts)
    return f"{joined}\n\n{form.ending}" if form.ending else joined
