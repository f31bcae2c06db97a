"""Indexes what a prompt says about each field that it asks for, once for any number of queries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dspex.clients.embedded.documents import Demonstration
from dspex.clients.embedded.extraction import numbers_in, question_and_context
from dspex.clients.embedded.forms import Form
from dspex.clients.embedded.passages import Claim, claims
from dspex.clients.embedded.schemas import Schema
from dspex.clients.embedded.sections import Section, as_text, is_array, is_object, plain_key
from dspex.clients.embedded.similarity import Evidence

_BOOLEAN = ("false", "true")


@dataclass(frozen=True, slots=True)
class Shown:
    """A demonstration by the fields of the task: the text of its inputs, and its outputs by plain key."""

    text: str
    asking: str
    """Of several inputs the one that asks."""
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The demonstrations that have a field, to be found by likeness."""

    shown: tuple[Shown, ...]
    values: tuple[str, ...]
    evidence: Evidence

    def nearest(self, features: Mapping[str, float]) -> tuple[float, int]:
        """The likeness (0..1) and the number of the demonstration most like a query."""
        likeness, number = self.evidence.nearest(features) or (0.0, 0)
        return likeness, -number


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What a prompt asks for and all that it says about it, prepared once for any number of queries."""

    form: Form
    shown: tuple[Shown, ...]
    guidance: str
    evidence: Mapping[str, Evidence]
    """By path of the field: "team", "items.colour"."""
    neighbours: Mapping[str, Neighbours]
    """By plain key of the field, where demonstrations have it."""


def joined(sections: Sequence[Section]) -> str:
    """The texts of sections, one below the other."""
    return "\n".join(section.text for section in sections)


def prepare(form: Form, guidance: str, demonstrations: tuple[Demonstration, ...]) -> Task:
    """Index a prompt: everything that does not depend on the query."""
    shown = tuple(_by_fields(demonstration, form) for demonstration in demonstrations)
    paths = list(_choice_paths(form, shown, guidance))
    spoken = claims(guidance, tuple(paths))
    evidence = {path: _evidence(path, answers, spoken, shown) for path, answers in paths}
    keys = dict.fromkeys(key for example in shown for key in example.outputs)
    return Task(form, shown, guidance, evidence, {key: _neighbours(key, shown) for key in keys})


def _neighbours(key: str, shown: Sequence[Shown]) -> Neighbours:
    having = tuple(example for example in shown if example.outputs.get(key))
    pairs = [(example.text, "") for example in having]
    return Neighbours(having, tuple(example.outputs[key] for example in having), Evidence(("",), (), pairs))


def _by_fields(demonstration: Demonstration, form: Form) -> Shown:
    keys = {plain_key(field.name) for field in form.fields}
    if keys == {""} or (len(keys) == 1 and len(demonstration.outputs) == 1):
        outputs = {next(iter(keys)): joined(demonstration.outputs)}
        return _shown(demonstration.inputs, outputs)
    answers = {plain_key(s.key): s.text for s in demonstration.outputs if plain_key(s.key) in keys}
    inputs = [*demonstration.inputs, *(s for s in demonstration.outputs if plain_key(s.key) not in keys)]
    if not demonstration.inputs and not answers:
        # Nothing names the outputs: the last part answers the ones before it.
        return _shown(demonstration.outputs[:-1], {next(iter(keys)): demonstration.outputs[-1].text})
    return _shown(inputs, answers)


def _shown(inputs: Sequence[Section], outputs: Mapping[str, str]) -> Shown:
    return Shown(joined(inputs), question_and_context(inputs)[0], outputs)


def _choice_paths(form: Form, shown: Sequence[Shown], guidance: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every field with admissible answers, by path, nested ones included."""
    for field in form.fields:
        schema = resolved(field.schema, form.defs)
        if schema.get("type") == "string" and "enum" not in schema:
            implied = _implied_choices([s.outputs.get(plain_key(field.name), "") for s in shown], shown, guidance)
            if implied:
                yield field.name, implied
        yield from _nested(field.name, schema, form.defs, 0)


def _nested(path: str, schema: Schema, defs: Schema | None, depth: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    if "enum" in schema:
        yield path, tuple(as_text(value) for value in schema["enum"])
    elif schema.get("type") == "boolean":
        yield path, _BOOLEAN
    elif depth < 6 and is_object(schema.get("properties")):
        for name, part in schema["properties"].items():
            yield from _nested(f"{path}.{name}", resolved(part, defs), defs, depth + 1)
    elif depth < 6 and is_object(schema.get("items")):
        yield from _nested(f"{path}.[]", resolved(schema["items"], defs), defs, depth + 1)


def _implied_choices(values: Sequence[str], shown: Sequence[Shown], guidance: str) -> tuple[str, ...]:
    """Answers of a field of free text that demonstrations use like labels: short, repeated, not out of the input."""
    given = [(value, example.text) for value, example in zip(values, shown, strict=True) if value]
    distinct = tuple(dict.fromkeys(value for value, _ in given))
    short = all(len(value.split()) <= 3 and len(value) <= 40 and not numbers_in(value) for value in distinct)
    if not short or len(given) < 2:
        return ()
    repeated = len(distinct) < len(given)
    listed = all(value in guidance for value in distinct)
    copied = any(value.lower() in text.lower() for value, text in given)
    return distinct if repeated or listed or not copied else ()


def _evidence(path: str, answers: tuple[str, ...], spoken: Sequence[Claim], shown: Sequence[Shown]) -> Evidence:
    names = path.split(".")
    pairs: list[tuple[str, str]] = []
    for example in shown:
        value = example.outputs.get(plain_key(names[0]))
        if value is None:
            continue
        pairs.extend((example.text, answer) for answer in _values_at(value, names[1:], answers))
    return Evidence(answers, [claim for claim in spoken if claim.field == path], pairs)


def _values_at(value: str, names: Sequence[str], answers: Sequence[str]) -> list[str]:
    """The admissible answers that a demonstration's value holds at a path of names."""
    found: Any = value.strip()
    if names or found.startswith("["):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return []
    items = [found]
    for name in names:
        if name == "[]":
            items = [part for item in items if is_array(item) for part in item]
        else:
            items = [item[name] for item in items if is_object(item) and name in item]
    folded = {answer.lower(): answer for answer in answers}
    return [folded[text] for item in items if (text := as_text(item).strip().lower()) in folded]


def resolved(schema: Schema, defs: Schema | None) -> Schema:
    """A schema with references followed and unions reduced to their first member that is not null."""
    for _ in range(8):
        if "$ref" in schema:
            schema = (defs or {}).get(str(schema["$ref"]).rpartition("/")[2], {})
        elif union := next((schema[key] for key in ("anyOf", "oneOf", "allOf") if schema.get(key)), None):
            options = [option for option in union if is_object(option) and option.get("type") != "null"]
            schema = options[0] if options else {"type": "null"}
        elif is_array(schema.get("type")):
            schema = {**schema, "type": next((kind for kind in schema["type"] if kind != "null"), "null")}
        else:
            break
    return schema
