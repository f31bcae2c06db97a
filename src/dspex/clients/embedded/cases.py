"""Finds worked examples, expected answers and failures in a request that is about a task rather than part of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspex.clients.embedded.records import Item, Role, records_by_json, records_by_sections, role_of
from dspex.clients.embedded.sections import as_text, is_object, literal_value, plain_key
from dspex.clients.embedded.terms import word_set

_PAIR = re.compile(r"[\"'`]?([A-Za-z_][\w ]{0,30}?)[\"'`]?\s*[:=]\s*[\"'`]?([^,;|\n\"'`]+)[\"'`]?")
_RATING = re.compile(r"(?<![\w.])(?:(\d+(?:\.\d+)?)\s*(%|/\s*\d+|out of \d+)?)")


@dataclass(frozen=True, slots=True)
class Case:
    """One example of the task: the text of its inputs, what it should be answered, and whether it was got wrong."""

    text: str
    expected: Mapping[str, str]
    failed: bool


def cases_in(parts: Sequence[tuple[str, str]]) -> tuple[Case, ...]:
    """All examples in the parts (name, text) of a request, in order, each once; a failure among equals counts."""
    records = [record for name, text in parts for record in _records(text, role_of(name))]
    outputs = _output_names(records)
    told = any(item.role in ("expected", "feedback") for record in records for item in record)
    found: dict[str, Case] = {}
    for record in records:
        # Where nothing says what would have been right, the answers shown are the examples to learn from.
        case = _case(record if told else [_trusted(item) for item in record], outputs)
        if case is not None and (case.text not in found or case.failed):
            found[case.text] = case
    return tuple(found.values())


def _records(text: str, role: Role) -> list[list[Item]]:
    """The records of a text: as JSON where that gives any case, else by its sections and lines."""
    found, rest = records_by_json(text, role)
    outputs = _output_names(found)
    if any(_case(record, outputs) for record in found):
        return [*found, *records_by_sections(rest)]
    return records_by_sections(text)


def _is_short(value: str) -> bool:
    return len(value) <= 60 and len(value.split()) <= 6 and "\n" not in value


def _output_names(records: Sequence[Sequence[Item]]) -> set[str]:
    """Plain keys without a telling name that hold short answers, in contrast to a longer input in the same records."""
    values: dict[str, list[str]] = {}
    after_text: Counter[str] = Counter()
    for record in records:
        longest = max((len(item.text) for item in record), default=0)
        for index, item in enumerate(record):
            if item.role in ("", "input"):
                values.setdefault(plain_key(item.key), []).append(item.text)
                after_text[plain_key(item.key)] += index > 0 and len(item.text) < longest
    names: set[str] = set()
    for key, found in values.items():
        short = sum(map(_is_short, found)) >= 0.9 * len(found)
        repeated = len(set(found)) <= max(2, 0.5 * len(found))
        if short and after_text[key] >= 0.9 * len(found) and (repeated or len(found) <= 4):
            names.add(key)
    return names if len(names) < len(values) else set()


def answer_pairs(text: str) -> dict[str, str]:
    """An answer as name-value pairs: from JSON, a Python literal, or "a=1, b: 2"; a bare one has the name ""."""
    stripped = text.strip().strip("`")
    for load in (json.loads, literal_value) if stripped.startswith("{") else ():
        try:
            value = load(stripped)
        except (ValueError, RecursionError):
            continue
        if is_object(value):
            return {plain_key(str(key)): as_text(item).strip() for key, item in value.items()}
        break
    pairs = _PAIR.findall(stripped)
    if pairs and all(_is_short(value) for _, value in pairs):
        return {plain_key(name): value.strip() for name, value in pairs}
    return {"": stripped.strip("\"'. ")}


def _case(record: Sequence[Item], outputs: set[str]) -> Case | None:
    texts: list[str] = []
    expected: dict[str, str] = {}
    answered: dict[str, str] = {}
    remarks: list[str] = []
    for item in record:
        key = plain_key(item.key)
        if item.role == "feedback":
            remarks.append(f"{key}: {item.text}")
        elif item.role == "expected":
            expected.update(_named(item, key))
        elif item.role == "answered":
            answered.update(_named(item, key))
        elif key in outputs and item.role != "ignored":
            expected[key] = item.text.strip()
        elif item.role in ("input", ""):
            texts.append(item.text)
    if not texts:
        return None
    return _settled("\n".join(texts), expected, answered, " ".join(remarks))


def _trusted(item: Item) -> Item:
    return Item(item.key, item.text, "expected") if item.role == "answered" else item


def _named(item: Item, key: str) -> dict[str, str]:
    """An answer under its field's name; of a name like "expected_team", the part that says nothing of its role."""
    pairs = answer_pairs(item.text)
    if set(pairs) != {""}:
        return pairs
    bare = "_".join(part for part in key.split("_") if part not in _FILLERS and role_of(part) == "")
    return {bare: pairs[""]}


_FILLERS = word_set(
    "the a its is by s said says gave given answer answers output outputs value reply response result class label"
)


def _settled(text: str, expected: dict[str, str], answered: dict[str, str], remarks: str) -> Case | None:
    """Settle what was right from what was expected, answered and said about it."""
    if not expected and answered:
        corrected = _corrections(remarks, answered)
        if corrected is None:
            return None
        expected = {**answered, **corrected}
    if not expected:
        return None
    if "" in expected and "" not in answered and len(answered) == 1:
        expected = {next(iter(answered)): expected[""]}
    wrong = any(name in answered and answered[name].lower() != value.lower() for name, value in expected.items())
    rating = None if wrong else _rating(remarks)
    return Case(text, expected, wrong or (rating is not None and rating < 0.5))


def _rating(remarks: str) -> float | None:
    """A score in 0..1 named in remarks, or what "correct" and "wrong" say."""
    found = re.search(
        r"(?:score|reward|rating|result)\w*\W+(?:of |is |was |:)*\W*" + _RATING.pattern, remarks, re.IGNORECASE
    )
    if found is not None:
        value, unit = float(found.group(1)), found.group(2) or ""
        whole = 100.0 if unit == "%" or value > 10 else float(re.sub(r"\D", "", unit) or 1.0)
        return min(1.0, value / whole)
    if re.search(r"\b(?:incorrect|wrong|not correct|failed|mistaken|false)\b", remarks, re.IGNORECASE):
        return 0.0
    if re.search(r"\b(?:correct|right|passed|good|matches)\b", remarks, re.IGNORECASE):
        return 1.0
    return None


_RIGHT = r"(?:expected|correct|should (?:be|have been)|right|gold|truth|target|desired)"
_NAMED_RIGHT = re.compile(
    rf"(?:(?P<before>\w+)\W+(?:is\W+|was\W+)?)?{_RIGHT}\b[\s:=(\"'`“]*(?:(?:the|is|was|be|to|for|as|it|answer|value|label)\b[\s:=(\"'`“]*)*"
    r"(?:(?P<field>\w+)\W+(?:is|was|should be|to be|=|:)?\W*)??[\"'`“]?(?P<value>[\w][\w -]{0,30}?)[\"'`”]?"
    r"(?=$|[,.;!)\n\"'`”]|\s+(?:but|not|and|instead|rather|got|you|the model|while|\())",
    re.IGNORECASE,
)


def _corrections(remarks: str, answered: Mapping[str, str]) -> dict[str, str] | None:
    """Right answers that remarks name for answers given; {} where they say all was right, None where they don't say."""
    found: dict[str, str] = {}
    for match in _NAMED_RIGHT.finditer(remarks):
        value = match.group("value").strip()
        if re.match(r"(?:score|reward|rating|answer)\b|\d", value):
            continue
        names = [match.group("field"), match.group("before"), *value.split()[:1]]
        name = next((plain_key(part) for part in names if part and plain_key(part) in answered), None)
        if name is not None and plain_key(value.split()[0]) == name:
            value = re.sub(r"^\W*(?:(?:is|was|should be|to be|be|=|:)(?!\w))?\W*", "", value[len(value.split()[0]) :])
        if name is None and len(answered) == 1:
            name = next(iter(answered))
        if name is not None and value and name not in found:
            found[name] = value.strip("\"'`“” ")
    if found:
        return found
    rating = _rating(remarks)
    return {} if rating is not None and rating >= 1.0 else None
