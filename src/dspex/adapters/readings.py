"""Lenient readings of any answer: a JSON object or labelled lines, whatever stands around them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic_core import from_json

from dspex.adapters.ladder import AnswerFields, Candidate, twice, without_fence
from dspex.adapters.objects import Found, find_objects, nested_json, uncertain
from dspex.adapters.values import is_array, is_object, loads
from dspex.errors import ParseError
from dspex.kernel.ports import JSON

_WRAPPED_DEPTH = 3
_AN_OBJECT = ("a JSON object",)
_QUOTED_MEMBER = re.compile(r"[\"']([^\"'\n]{1,80})[\"']\s*:")
_MEMBER = re.compile(r"[\"']?([^\"'\n{,:]{1,80})[\"']?\s*:")
_LABELLED = re.compile(
    r"^[ \t]*(?:[-*•][ \t]+|[0-9]{1,2}[.)][ \t]+|#{1,6}[ \t]+|>[ \t]*)?"
    r"(?P<open>[*_`\"]{0,3})(?P<key>[A-Za-z_][\w \-]{0,60}?)"
    r"(?:[*_`\"]{0,3}[ \t]*[:=][ \t]*[*_`]{0,3}(?P<rest>(?:[ \t]*\S[^\n]*)?)|(?P<bare>[*_`]{0,3})[ \t]*)$",
    re.MULTILINE,
)


def read_object(text: str, fields: AnswerFields) -> Candidate | None:
    """The last JSON object of the text that holds an output field, whole; wrappers around it are taken off."""
    exact = exact_object(text, fields)
    if exact is not None:
        return Candidate(exact, notes=_AN_OBJECT)
    if "{" not in text:
        return None
    candidates: list[Candidate] = []
    rest: list[str] = []
    position = 0
    for item in find_objects(text):
        answers = list(_answers_in(item, fields))
        candidates.extend(answers)
        if answers:
            rest.append(text[position : item.start])
            position = item.end
    rest.append(text[position:])
    if any(fields.name_of(key) for part in rest for key in _QUOTED_MEMBER.findall(part)):
        raise uncertain()  # a member outside of every object: one of them is damaged
    if not candidates:
        return None
    full = [item for item in candidates if fields.required <= item.values.keys()]
    chosen = (full or candidates)[-1]
    if len(full) > 1:
        chosen = Candidate(chosen.values, chosen.rung, (*chosen.notes, f"the last of {len(full)} JSON objects taken"))
    return chosen


def exact_object(text: str, fields: AnswerFields) -> dict[str, JSON] | None:
    """Its members where the text is nothing but one flat JSON object whose keys are output fields, each once."""
    bare = text.strip()
    if bare[:1] != "{" or bare[-1:] != "}":
        return None
    try:
        values: dict[str, JSON] = from_json(bare, allow_inf_nan=False) if bare.count("{") == 1 else loads(bare)
    except ValueError:
        return None
    if not values or not values.keys() <= fields.types.keys():
        return None
    if any(bare.count(f'"{name}"') > 1 for name in values):
        try:
            values = loads(bare)
        except ValueError:
            return None
    return values


def _answers_in(found: Found, fields: AnswerFields) -> Iterable[Candidate]:
    rung = "repair" if found.repaired else "scan"
    notes = ("punctuation of the JSON repaired",) if found.repaired else _AN_OBJECT
    value: JSON = found.value
    for depth in range(_WRAPPED_DEPTH):
        if is_array(value):
            holding = [item for item in value if is_object(item) and _picked(item, fields)]
            if len(holding) > 1:
                raise ParseError(
                    f"the answer is a list of {len(holding)} answers", problems=("give one answer, not a list",)
                )
            value = holding[0] if len(holding) == 1 == len(value) else None
        if not is_object(value):
            return
        values = _picked(value, fields)
        if values:
            yield _candidate(value, values, fields, rung, (*notes, *(("taken out of a wrapper",) if depth else ())))
            return
        inner = [nested_json(item) for item in value.values()]
        wrapped: list[JSON] = [item for item in inner if is_object(item) or is_array(item)]
        value = wrapped[0] if len(wrapped) == 1 else None


def _picked(given: dict[str, JSON], fields: AnswerFields) -> dict[str, JSON]:
    """The output fields in an object, by their own names. Raises ParseError where two keys mean the same field."""
    values: dict[str, JSON] = {}
    for key, value in given.items():
        name = fields.name_of(key)
        if name is None or (name != key and name in given and given[name] == value):
            continue
        if name in values or (name != key and name in given):
            raise twice(name)
        values[name] = value
    return values


def _candidate(
    given: dict[str, JSON], values: dict[str, JSON], fields: AnswerFields, rung: str, notes: tuple[str, ...]
) -> Candidate:
    renamed = tuple(
        f"key {key!r} read as {name!r}" for key in given if (name := fields.name_of(key)) not in (None, key)
    )
    extra = [repr(key) for key in given if fields.name_of(key) is None]
    ignored = (f"ignored {', '.join(extra)}",) if extra else ()
    if rung == "repair" and (extra or any(_swallowed(value, fields) for value in values.values())):
        raise uncertain()
    return Candidate(values, "coerce" if renamed else rung, (*notes, *renamed, *ignored))


def _swallowed(value: JSON, fields: AnswerFields) -> bool:
    """Whether a repaired text holds what looks like another member, so that its end is in doubt."""
    return isinstance(value, str) and any(fields.name_of(key) for key in _MEMBER.findall(value))


def read_labels(text: str, fields: AnswerFields) -> Candidate | None:
    """Lines such as `Team: billing`, `**team:** billing` or `## Team` above the value, for output fields only."""
    heads = [
        (match, name)
        for match in _LABELLED.finditer(text)
        if (name := fields.name_of(match.group("key"))) and _is_label(match)
    ]
    if not heads:
        return None
    raw: dict[str, str] = {}
    ends = [match.start() for match, _ in heads[1:]] + [len(text)]
    for (match, name), end in zip(heads, ends, strict=True):
        value = without_fence(f"{match.group('rest') or ''}{text[match.end() : end]}", text[: heads[0][0].start()])
        value = value.strip()
        if name in raw and raw[name] != value:
            raise twice(name)
        raw[name] = value
    values = {name: fields.readers[name](_unquoted(value)) for name, value in raw.items()}
    return Candidate(values, notes=("labelled lines",))


def _unquoted(text: str) -> str:
    """The text inside one pair of quotation marks, as YAML and JSON write it."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            value = loads(text)
        except ValueError:
            return text
        return value if isinstance(value, str) else text
    return text


def _is_label(match: re.Match[str]) -> bool:
    """A line without a colon is a header only when it is marked as one."""
    return match.group("bare") is None or bool(match.group("open")) or match.group().lstrip().startswith("#")
