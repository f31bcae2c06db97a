"""Finds worked examples, expected answers and failures in a request that is about a task rather than part of it."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dspex.clients.embedded.documents import numberless
from dspex.clients.embedded.sections import (
    Head,
    as_text,
    heading_heads,
    json_values,
    label_heads,
    marker_heads,
    plain_key,
)

Role = Literal["input", "expected", "answered", "feedback", "separator", "ignored", ""]

_ROLES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("ignored", re.compile(r"reasoning|rationale|thought|chain|explanation|trace$|augmented|module_name|completed")),
    ("separator", re.compile(r"^(?:example|demo|demonstration|sample|case|record|item|trajectory|failure|success|mistake)s?$")),
    ("feedback", re.compile(r"feedback|score|reward|comment|critique|remark|grade|evaluation|verdict|metric|judg|result$|error")),
    ("expected", re.compile(r"^better|^good|expected|correct|gold|target|truth|should|desired|reference|right|wanted|ideal|oracle|label$")),
    ("answered", re.compile(r"^worse|^bad|predict|got$|generated|answered|model|produced|returned|actual|response|received|student|program|wrong|was$")),
    ("input", re.compile(r"^(?:inputs?|question|text|query|given|user|message|prompt_input)$")),
    ("answered", re.compile(r"^(?:outputs?|answers?|a|completion|assistant)$")),
)  # fmt: skip
_TAG = re.compile(r"<(/?)([A-Za-z_][\w.\-]*)(?:\s[^<>]*)?>")
_INLINE = re.compile(
    r"(?:\s*[|;,]\s*|\s+(?:but|and)\s+(?:the )?)(?=(?:got|predicted|prediction|expected|model|answered|correct|actual|output)\b"
    r"[^:=|;,\n]{0,20}[:=])",
    re.IGNORECASE,
)
_PAIR = re.compile(r"[\"'`]?([A-Za-z_][\w ]{0,30}?)[\"'`]?\s*[:=]\s*[\"'`]?([^,;|\n\"'`]+)[\"'`]?")
_LINE = re.compile(
    r"^\s*(?:[-*•]\s*|\d+[.)]\s*)?(?:[\"“'](?P<quoted>.{6,}?)[\"”']|(?P<bare>[^\n\"“]{12,}?))\s*"
    r"(?:->|=>|→|⇒|\bshould (?:be|have been|go to)|(?<=[\"”'])\s*[:=])\s*(?P<value>[^\n]{1,160})$",
    re.MULTILINE,
)
_RATING = re.compile(r"(?<![\w.])(?:(\d+(?:\.\d+)?)\s*(%|/\s*\d+|out of \d+)?)")


@dataclass(frozen=True, slots=True)
class Case:
    """One example of the task: the text of its inputs, what it should be answered, and whether it was got wrong."""

    text: str
    expected: Mapping[str, str]
    failed: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One named value of a record, with the role that its name or its container gives it."""

    key: str
    text: str
    role: Role


def role_of(key: str) -> Role:
    """What a name says about the value under it: an input, an expected answer, a given answer, a remark; "" unknown."""
    name = numberless(key)
    return next((role for role, pattern in _ROLES if pattern.search(name)), "")


def cases_in(parts: Sequence[tuple[str, str]]) -> tuple[Case, ...]:
    """All examples in the parts (name, text) of a request, in order, each once; a failure among equals counts."""
    records = [record for name, text in parts for record in _records(text, role_of(name))]
    outputs = _output_names(records)
    found: dict[str, Case] = {}
    for record in records:
        case = _case(record, outputs)
        if case is not None and (case.text not in found or case.failed):
            found[case.text] = case
    return tuple(found.values())


def _records(text: str, role: Role) -> list[list[Item]]:
    """The records of a text: as JSON where that gives the more text to learn from, else by its sections and lines."""
    rows, rest = _json_rows(text)
    by_json = [_row_items(row, role if role == "expected" else "") for row in rows]
    plain = list(_sectioned(text)) or list(_lines(text))
    if not by_json:
        return plain
    mixed = [*by_json, *_sectioned(rest)]
    return max((plain, mixed), key=_substance)


def _substance(records: Sequence[Sequence[Item]]) -> int:
    """Characters of input that the records' cases hold."""
    outputs = _output_names(records)
    return sum(len(case.text) for record in records if (case := _case(record, outputs)) is not None)


def _lines(text: str) -> Iterator[list[Item]]:
    """Examples on one line each: "text" -> answer; "text" should be answer but the model said another."""
    for line in _LINE.finditer(text):
        value, *rest = re.split(r"\b(?:but|not|instead|rather|yet)\b|\s\(", line.group("value"))
        record = [Item("input", line.group("quoted") or line.group("bare"), "input")]
        record.append(Item("", value.strip(" .,\"'“”"), "expected"))
        if rest:
            record.append(Item("feedback", "wrong", "feedback"))
        yield record


def _json_rows(text: str) -> tuple[list[Mapping[str, Any]], str]:
    """JSON objects in a text that may be examples, and the text without them."""
    rows: list[Mapping[str, Any]] = []
    rest = text
    for start, end, value in reversed([*json_values(text), *_literal_values(text)]):
        found = [row for row in (value if isinstance(value, list) else [value]) if isinstance(row, dict)]
        found = [row for row in found if len(row) > 1 and not {"type", "properties", "enum"} & row.keys()]
        if found and _header_role(text[:start]) not in ("expected", "answered", "input"):
            rows[:0] = found
            rest = f"{rest[:start]}{rest[end:]}"
    return (rows, rest) if len(rows) > 1 or (rows and len(rest) < 40) else ([], text)


def _literal_values(text: str) -> Iterator[tuple[int, int, Any]]:
    """Dictionaries written as Python literals, as (start, end, value)."""
    for found in re.finditer(r"\{'[^{}]*\}", text):
        try:
            yield found.start(), found.end(), ast.literal_eval(found.group())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue


def _header_role(before: str) -> Role:
    """What the short line before a JSON value says it is."""
    line = before.rstrip(" \n`").rpartition("\n")[2].removesuffix("json").strip(" \n`")
    return role_of(re.sub(r"[^\w ']", " ", line).strip()) if len(line) < 40 and "{" not in line else ""


def _row_items(row: Mapping[str, Any], role: Role) -> list[Item]:
    items: list[Item] = []
    for key, value in row.items():
        own = _within(role_of(key), role)
        if isinstance(value, Mapping):
            items.extend(_row_items(value, own))
        elif isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
            items.extend(item for part in value for item in _row_items(part, own))
        else:
            items.append(Item(key, as_text(value), own))
    return items


def _within(own: Role, outer: Role) -> Role:
    """A name's role inside a container: the "outputs" of what is marked as right are the expected ones."""
    return "expected" if own == "answered" and outer == "expected" else own or outer


def _tag_heads(text: str) -> list[Head]:
    return [(found.start(), found.end(), found.group(2)) for found in _TAG.finditer(text) if not found.group(1)]


def _sectioned(text: str) -> Iterator[list[Item]]:
    """Records in any mixture of headings, markers, tags and labels: a flat run that starts again at the same key."""
    heads = sorted([*marker_heads(text), *heading_heads(text), *_tag_heads(text)])
    counts = Counter(numberless(head[2]) for head in [*heads, *label_heads(text)])
    heads = sorted([*heads, *(h for h in label_heads(text) if counts[numberless(h[2])] > 1 or role_of(h[2]))])
    opening = next((index for index, head in enumerate(heads) if counts[numberless(head[2])] > 1), None)
    if opening is None:
        opening = next((index for index, head in enumerate(heads) if role_of(head[2]) in ("input", "separator")), None)
    if opening is None:
        return
    first = numberless(heads[opening][2])
    record: list[Item] = []
    context: Role = ""
    for index in range(opening, len(heads)):
        start, body, key = heads[index]
        end = heads[index + 1][0] if index + 1 < len(heads) else len(text)
        if numberless(key) == first and record:
            yield record
            record, context = [], ""
        value = _TAG.sub("", text[body:end]).strip().removesuffix("---").strip()
        if index + 1 == len(heads) and counts[numberless(key)] > 1:
            value = value.partition("\n\n")[0]
        role = role_of(key)
        if not value:
            context = role if role != "separator" else ""
        else:
            record.extend(_split_inline(key, value, _within(role, context)))
    if record:
        yield record


def _split_inline(key: str, value: str, role: Role) -> Iterator[Item]:
    """A value that goes on with other answers on the same line: "billing | got: technical"."""
    first, *others = _INLINE.split(value) if role in ("expected", "answered", "feedback") else [value]
    yield Item(key, first.strip(), role)
    for other in others:
        name, _, rest = re.sub(r"=", ":", other, count=1).partition(":")
        yield Item(name, rest.strip(), role_of(name) or role)


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
    """An answer as name-value pairs: from JSON, a Python literal, or "team=billing, urgency: high"; a bare one is ""."""
    stripped = text.strip().strip("`")
    for load in (json.loads, ast.literal_eval):
        try:
            value = load(stripped)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):
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


def _named(item: Item, key: str) -> dict[str, str]:
    """An answer under its field's name; under a name like "expected" or "expected_team" the rest of it names the field."""
    pairs = answer_pairs(item.text)
    if set(pairs) != {""}:
        return pairs
    bare = "_".join(
        part
        for part in key.split("_")
        if role_of(part) == "" and part not in {"the", "by", "answer", "output", "value", "s"}
    )
    return {bare: pairs[""]}


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
    rf"(?:(?P<before>\w+)\W+(?:is\W+|was\W+)?)?{_RIGHT}\b\W*(?:(?:the|is|was|be|to|for|as|it|answer|value|label)\b\W*)*"
    r"(?:(?P<field>\w+)\W+(?:is|was|should be|to be|=|:)?\W*)??[\"'`“]?(?P<value>[\w][\w -]{0,30}?)[\"'`”]?"
    r"(?=$|[,.;!)\n\"'`”]|\s+(?:but|not|and|instead|rather|got|you|the model|while|\())",
    re.IGNORECASE,
)


def _corrections(remarks: str, answered: Mapping[str, str]) -> dict[str, str] | None:
    """Right answers that remarks name for answers given; {} where they say all was right, None where they don't say."""
    found: dict[str, str] = {}
    for match in _NAMED_RIGHT.finditer(remarks):
        value = match.group("value").strip()
        names = [match.group("field"), match.group("before"), *value.split()[:1]]
        name = next((plain_key(part) for part in names if part and plain_key(part) in answered), None)
        if name is not None and plain_key(value.split()[0]) == name:
            value = re.sub(r"^\W*(?:is|=|:)?\W*", "", value[len(value.split()[0]) :])
        if name is None and len(answered) == 1:
            name = next(iter(answered))
        if name is not None and value and name not in found:
            found[name] = value.strip("\"'`“” ")
    if found:
        return found
    rating = _rating(remarks)
    return {} if rating is not None and rating >= 1.0 else None
