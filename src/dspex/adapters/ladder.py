"""The ladder of parsing: strict, scan, repair, coerce. What no rung can read without guessing is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dspex.adapters.coercion import Coercion, plain_key, unique_keys
from dspex.adapters.values import Read, reader_of
from dspex.adapters.wording import admitted
from dspex.errors import CutOffError, ParseError
from dspex.kernel.ports import JSON, Completion, Parsed
from dspex.kernel.quick import quick
from dspex.kernel.signature import FieldSchema, Schema
from dspex.kernel.validation import InvalidValuesError

_SPECIAL = re.compile(r"(?:\s*(?:<\|[a-z_]{1,30}\|>|</s>))+\s*\Z")
"""Marks of the end of a message that some servers leave in it."""
_THINKING = re.compile(r"<(think|thinking|thought)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_THINKING_TAG = re.compile(r"<(/?)(?:think|thinking|thought)>", re.IGNORECASE)


_LIST = frozenset({"array"})
_parsed = quick(Parsed)


class AnswerFields:
    """The output fields of one signature, with everything about them that parsing needs, precomputed."""

    __slots__ = (
        "closed", "everything", "folded", "listing", "names", "nulls", "readers", "required", "texts", "thinks",
        "types", "validate",
    )  # fmt: skip

    def __init__(self, schema: Schema) -> None:
        outputs = schema.outputs
        self.validate = schema.answers
        self.everything = tuple(dict.fromkeys(item.name for item in (*schema.inputs, *outputs)))
        """Inputs and outputs: a header or tag of any of them is structure."""
        self.names = tuple(item.name for item in outputs)
        self.types: dict[str, dict[str, Any]] = {item.name: item.type for item in outputs}
        self.readers: dict[str, Read] = {item.name: reader_of(item.type) for item in outputs}
        self.required = frozenset(item.name for item in outputs if not item.optional)
        self.nulls = frozenset(item.name for item in outputs if item.optional and "null" not in admitted(item.type))
        self.texts = frozenset(name for name, schema in self.types.items() if "string" in admitted(schema))
        self.folded = unique_keys(self.names)
        self.closed = outputs[0].name if len(outputs) == 1 and _is_closed(outputs[0]) else None
        self.listing = self.closed is not None and admitted(outputs[0].type) == _LIST
        self.thinks = any(plain_key(name) in ("think", "thinking", "thought") for name in self.names)

    def name_of(self, key: str) -> str | None:
        """The field that a key means: the same name, or one that differs only in letter case, spaces or dressing."""
        return key if key in self.types else self.folded.get(plain_key(key))


def _is_closed(field: FieldSchema) -> bool:
    """Whether a bare text can be nothing but a value of this field."""
    kinds = admitted(field.type)
    listed = "enum" in field.type or "const" in field.type or "$ref" in field.type
    return kinds == _LIST or kinds <= {"integer", "number", "boolean"} or (listed and kinds <= {"string", "integer"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one reading found: values by field name, read but not yet checked."""

    values: dict[str, JSON]
    rung: str = "scan"
    notes: tuple[str, ...] = ()


Reading = Callable[[str, AnswerFields], Candidate | None]
"""Looks for an answer in one notation; None where the text has no field in it. Raises ParseError, CutOffError."""


class Notation(Protocol):
    """How an adapter writes answers: the strict reading, and the readings to try after it, in order."""

    @property
    def readings(self) -> Sequence[Reading]: ...

    def strict(self, text: str) -> dict[str, JSON] | None:
        """Values where the text is exactly what was asked for, otherwise None."""
        ...


def climb(completion: Completion, notation: Notation, fields: AnswerFields) -> Parsed:
    """The values of an answer by the first rung that reads it. Raises ParseError or CutOffError."""
    if completion.finish_reason == "length":
        raise CutOffError("the answer was cut off at the limit of tokens; raise max_tokens or ask for less")
    if completion.finish_reason == "refused":
        raise ParseError("the model declined to answer")
    text = completion.text
    values = notation.strict(text)
    if values is not None:
        try:
            return _parsed(fields.validate(values), "strict")
        except InvalidValuesError:
            return _checked(Candidate(values), fields, text)
    text, notes = _without_thinking(_SPECIAL.sub("", text), fields)
    if not text.strip():
        raise ParseError("the answer is empty", problems=("the answer is empty",))
    for reading in notation.readings:
        candidate = reading(text, fields)
        if candidate is not None:
            return _checked(Candidate(candidate.values, candidate.rung, (*notes, *candidate.notes)), fields, text)
    bare = text.strip()
    if fields.closed is not None and (len(bare) < 200 if not fields.listing else bare[0] == "[" and bare[-1] == "]"):
        read = fields.readers[fields.closed](bare)
        return _checked(
            Candidate({fields.closed: read}, notes=(*notes, "a bare answer without its field")), fields, text
        )
    missing = tuple(f"{name}: is missing" for name in fields.names if name in fields.required)
    raise ParseError(f"no output field was found in the answer {_excerpt(text)}", problems=missing)


def _checked(candidate: Candidate, fields: AnswerFields, text: str) -> Parsed:
    """The candidate validated as it is, or after coercion."""
    try:
        return Parsed(fields.validate(candidate.values), candidate.rung, candidate.notes)
    except InvalidValuesError:
        pass
    table = Coercion()
    values: dict[str, JSON] = {}
    for name, value in candidate.values.items():
        if value is None and name in fields.nulls:
            table.notes.append(f"{name}: null read as left out")
        else:
            values[name] = table.field(name, value, fields.types[name])
    try:
        return Parsed(fields.validate(values), "coerce", (*candidate.notes, *table.notes))
    except InvalidValuesError as error:
        problems = tuple(f"{path}: {_missing(path, said, values)}" for path, said in error.problems)
    raise ParseError(f"{'; '.join(problems)} (in the answer {_excerpt(text)})", problems=problems)


def _missing(path: str, said: str, values: Mapping[str, JSON]) -> str:
    return "is missing" if path not in values and said == "Field required" else said


def _without_thinking(text: str, fields: AnswerFields) -> tuple[str, tuple[str, ...]]:
    """The text after what the model thought aloud, which is no part of the answer."""
    if "hink" not in text and "HINK" not in text and "hought" not in text:
        return text, ()
    if fields.thinks or _THINKING_TAG.search(text) is None:
        return text, ()
    text = _THINKING.sub("", text)
    last = None
    for last in _THINKING_TAG.finditer(text):
        if not last.group(1):
            raise CutOffError("the answer stops while the model is still thinking; raise max_tokens")
    return (text if last is None else text[last.end() :]), ("thinking left out",)


def twice(name: str) -> ParseError:
    """The refusal of an answer that gives one field two different values."""
    said = f"{name}: is there twice, with different values"
    return ParseError(said, problems=(said,))


def without_fence(value: str, before: str) -> str:
    """A last value without the closing fence of a code block that was opened `before` the first field."""
    if "```" not in value or before.count("```") % 2 == 0 or value.count("```") % 2 == 0:
        return value
    kept, _, after = value.rpartition("```")
    return kept if not after.strip() else value


def _excerpt(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 120 else f"{text[:80]} ... {text[-30:]}")
