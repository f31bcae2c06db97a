"""Answers each output field of a task from the evidence in its prompt."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dspex.clients.embedded.extraction import (
    date_in,
    keywords,
    numbers_in,
    question_and_context,
    ranked,
    sentences,
    span,
)
from dspex.clients.embedded.forms import Field
from dspex.clients.embedded.schemas import Schema
from dspex.clients.embedded.sections import Section, plain_key
from dspex.clients.embedded.similarity import Verdict
from dspex.clients.embedded.tasks import Neighbours, Task, joined, resolved
from dspex.clients.embedded.terms import features, stem, weight_of, words


@dataclass(frozen=True, slots=True)
class Query:
    """The inputs to answer, and the generator of draws: None for the most likely answer."""

    sections: tuple[Section, ...]
    text: str
    features: Mapping[str, float]
    temperature: float
    draw: random.Random | None


def answer(task: Task, query: Query) -> dict[str, Any]:
    """A value for every field of the form, each answered independently of the others.

    A field of free text before a field with choices makes the model weigh all matching passages for that field, and
    holds what matched; without one only the nearest passages count.
    """
    values: dict[str, Any] = {}
    verdicts: dict[str, Verdict] = {}
    thinking = [field.name for field in task.form.fields if _thinks(task, field)]
    for field in task.form.fields:
        if field.name in thinking:
            continue
        before = task.form.fields[: task.form.fields.index(field)]
        reader = _Reader(task, query, any(earlier.name in thinking for earlier in before), verdicts)
        values[field.name] = reader.value(field.schema, field.name, field)
    for name in thinking:
        values[name] = _reasons(task, query, verdicts)
    return values


def _thinks(task: Task, field: Field) -> bool:
    """Whether a field is free text that leads to a field with choices."""
    fields = task.form.fields
    later = fields[fields.index(field) + 1 :]
    schema = resolved(field.schema, task.form.defs)
    is_text = schema.get("type", "string") == "string" and not {"enum", "format", "const", "properties"} & schema.keys()
    is_text = is_text and field.name not in task.evidence
    return is_text and any(after.name in task.evidence for after in later)


def _reasons(task: Task, query: Query, verdicts: Mapping[str, Verdict]) -> str:
    """Which passages matched, in words; nothing that was not used."""
    parts: list[str] = []
    for path, verdict in verdicts.items():
        best = max(range(len(verdict.scores)), key=lambda index: verdict.scores[index])
        terms = [term for term in verdict.matched[best] if weight_of(term) >= 0.3][:4]
        if terms:
            quoted = ", ".join(f'"{term}"' for term in terms)
            parts.append(
                f"The input has {quoted}, which the instructions give for {task.evidence[path].answers[best]}."
            )
    for evidence in task.evidence.values():
        near = evidence.nearest(query.features)
        if near is not None and near[0] > 0.05:
            parts.append(f"The example most like it (likeness {near[0]:.2f}) was considered.")
            break
    return " ".join(parts) or "Nothing in the instructions or examples matches the input closely."


WARMTH = 0.5
"""Temperature 1 draws with probability exp(score / WARMTH): one matched term is worth a factor of about seven."""


def softmax_pick(scores: Sequence[float], temperature: float, draw: random.Random | None) -> int:
    """The index of the highest score (the first among equals), or a draw that the temperature flattens."""
    top = max(scores)
    if draw is None or temperature <= 0:
        return scores.index(top)
    weights = [math.exp((score - top) / (WARMTH * temperature)) for score in scores]
    return draw.choices(range(len(scores)), weights)[0]


class _Reader:
    """Fills one field's schema with values for one query."""

    def __init__(self, task: Task, query: Query, combined: bool, verdicts: dict[str, Verdict]) -> None:
        self._task, self._query, self._combined, self._verdicts = task, query, combined, verdicts

    def value(self, schema: Schema, path: str, field: Field) -> Any:
        schema = resolved(schema, self._task.form.defs)
        if "const" in schema:
            return schema["const"]
        if path in self._task.evidence:
            return self._choice(schema, path)
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if kind in ("integer", "number"):
            return self._number(schema, path, kind)
        if kind == "array" and "prefixItems" in schema:
            return [self.value(part, path, field) for part in schema["prefixItems"]]
        if kind == "array":
            return self._padded(self._list(schema, path, field), schema, path, field)
        if kind == "object":
            parts: Mapping[str, Schema] = schema.get("properties") or {}
            return {name: self.value(part, f"{path}.{name}", field) for name, part in parts.items()}
        if kind == "null":
            return None
        return self._text(schema, path)

    def _choice(self, schema: Schema, path: str) -> Any:
        evidence = self._task.evidence[path]
        verdict = evidence.judge(self._query.features, self._combined)
        self._verdicts[path] = verdict
        scores = verdict.scores if verdict.evident else evidence.by_label(self._query.features)
        index = softmax_pick(scores, self._query.temperature, self._query.draw)
        if "enum" in schema:
            return schema["enum"][index]
        return index == 1 if schema.get("type") == "boolean" else evidence.answers[index]

    def _neighbours(self, path: str) -> Neighbours | None:
        found = self._task.neighbours.get(plain_key(path))
        return found if found is not None and found.shown else None

    def _nearest(self, path: str) -> str | None:
        """What the demonstration most like the query answered."""
        found = self._neighbours(path)
        return None if found is None else found.values[found.nearest(self._query.features)[1]]

    def _number(self, schema: Schema, path: str, kind: str) -> float | int:
        known = self._neighbours(path)
        pairs = (
            [(shown.text, numbers_in(v)) for shown, v in zip(known.shown, known.values, strict=True)] if known else []
        )
        taken = sum(any(n == values[0][0] for n, _ in numbers_in(text)) for text, values in pairs if values)
        found = numbers_in(self._query.text)
        near = self._nearest(path)
        number = 0.0
        if found and (not pairs or taken * 2 >= len(pairs)):
            about = f"{path.replace('_', ' ').replace('.', ' ')} {schema.get('description', '')}"
            wanted = {stem(word) for word in words(about)}
            number = max(found, key=lambda pair: _fit(pair, wanted, kind))[0]
        elif near is not None and (values := numbers_in(near)):
            number = values[0][0]
        number = max(number, float(schema.get("minimum", number)))
        number = min(number, float(schema.get("maximum", number)))
        return round(number) if kind == "integer" else number

    def _list(self, schema: Schema, path: str, field: Field) -> list[Any]:
        items = resolved(schema.get("items", {}), self._task.form.defs)
        inner = f"{path}.[]"
        if inner in self._task.evidence:
            verdict = self._task.evidence[inner].judge(self._query.features, True)
            mean = sum(verdict.scores) / len(verdict.scores)
            above = [index for index, score in enumerate(verdict.scores) if score > mean + 0.5]
            return [items["enum"][index] if "enum" in items else index == 1 for index in above]
        if items.get("type") in ("integer", "number"):
            values = [number for number, _ in numbers_in(self._query.text)]
            return [round(value) for value in values] if items["type"] == "integer" else values
        if items.get("type") == "object" or "properties" in items:
            return [self.value(items, inner, field)]
        return list(keywords(self._query.text, int(schema.get("maxItems", 3))))

    def _padded(self, values: list[Any], schema: Schema, path: str, field: Field) -> list[Any]:
        """A list with as many items as the schema wants at least and at most."""
        while len(values) < int(schema.get("minItems", 0)):
            values.append(values[-1] if values else self.value(schema.get("items", {}), f"{path}.[]", field))
        return values[: int(schema.get("maxItems", len(values)))]

    def _text(self, schema: Schema, path: str) -> str:
        if schema.get("format") in ("date", "date-time"):
            near = self._nearest(path)
            timed = schema["format"] == "date-time"
            found = date_in(self._query.text, timed) or (date_in(near, timed) if near else None)
            return found or ("1970-01-01T00:00:00" if timed else "1970-01-01")
        return self._free_text(path)

    def _free_text(self, path: str) -> str:
        """Extraction: the answer of a demonstration with nearly the same input, else the best-matching sentence."""
        known = self._neighbours(path)
        question, context = question_and_context(self._query.sections)
        near = None
        if known is not None:
            likeness, number = known.nearest(self._query.features)
            near = known.values[number]
            if likeness > 0.9 and _same(question, known.shown[number].asking):
                return near
        source = context or (self._task.guidance if question.rstrip().endswith("?") else question)
        candidates = sentences(source)
        scored = ranked(candidates, question if source != question else f"{question}\n{self._task.guidance}")
        if not scored or (near is not None and scored[0][0] <= 0.0):
            return near if near is not None else question
        index = softmax_pick([score for score, _ in scored], self._query.temperature, self._query.draw)
        best = scored[index][1]
        brief = known is not None and sum(len(value.split()) <= 4 for value in known.values) * 2 > len(known.values)
        return span(question, best) if brief and source != question else best


def _same(question: str, other: str) -> bool:
    """Whether two questions are nearly the same words."""
    left, right = set(words(question)), set(words(other))
    return len(left & right) >= 0.8 * len(left | right)


def _fit(found: tuple[float, str], wanted: set[str], kind: str) -> tuple[int, bool]:
    """How well a number fits a field: words around it that the field has as well, then whether it is whole."""
    number, around = found
    return len(wanted & {stem(word) for word in words(around)}), number.is_integer() == (kind == "integer")


def query_of(sections: tuple[Section, ...], temperature: float, draw: random.Random | None) -> Query:
    """A query with its features."""
    text = joined(sections)
    return Query(sections, text, features(words(text)), temperature, draw)
