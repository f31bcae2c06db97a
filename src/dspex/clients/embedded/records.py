"""Takes the examples in a request apart into records of named values, whatever their notation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dspex.clients.embedded.documents import numberless
from dspex.clients.embedded.sections import (
    Head,
    as_text,
    heading_heads,
    is_array,
    is_object,
    json_values,
    label_heads,
    literal_value,
    marker_heads,
)

Role = Literal["input", "expected", "answered", "feedback", "separator", "ignored", ""]

_ROLES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("ignored", re.compile(r"reasoning|rationale|thought|chain|explanation|trace$|augmented|module_name|completed")),
    (
        "separator",
        re.compile(
            r"^(?:example|demo|demonstration|sample|case|record|item|trajectory|failure|success|mistake|error|evidence)s?$"
        ),
    ),
    (
        "feedback",
        re.compile(
            r"feedback|score|reward|comment|critique|remark|grade|evaluation|verdict|metric|accuracy|judg|result$"
        ),
    ),
    (
        "expected",
        re.compile(
            r"^better|^good|expected|correct|gold|target|truth|should|desired|reference|right|wanted|ideal|oracle|label$"
        ),
    ),
    (
        "answered",
        re.compile(
            r"^worse|^bad|predict|got$|generated|answered|model|produced|returned|actual|response|received|student"
            r"|program|wrong|was$"
        ),
    ),
    ("input", re.compile(r"^(?:inputs?|question|text|query|given|user|message|prompt_input)$")),
    ("answered", re.compile(r"^(?:outputs?|answers?|a|completion|assistant)$")),
)
_TAG = re.compile(r"<(/?)([A-Za-z_][\w.\-]*)(?:\s[^<>]*)?>")
_INLINE = re.compile(
    r"(?:\s*[|;,]\s*|\s+(?:but|and)\s+(?:the )?)"
    r"(?=(?:got|predicted|prediction|expected|model|answered|correct|actual|output)\b"
    r"[^:=|;,\n]{0,20}[:=])",
    re.IGNORECASE,
)
_LINE = re.compile(
    r"^\s*(?:[-*•]\s*|\d+[.)]\s*)?(?:[\"“'](?P<quoted>.{6,}?)[\"”']|(?P<bare>[^\n\"“]{12,}?))\s*"
    r"(?:->|=>|→|⇒|\bshould (?:be|have been|go to)|(?<=[\"”'])\s*[:=])\s*(?P<value>[^\n]{1,160})$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Item:
    """One named value of a record, with the role that its name or its container gives it."""

    key: str
    text: str
    role: Role


def role_of(key: str) -> Role:
    """What a name says about the value under it: an input, an expected answer, a given answer, a remark; "" unknown."""
    name = numberless(key)
    for role, pattern in _ROLES:
        if pattern.search(name):
            return role
    return ""


def records_by_json(text: str, role: Role) -> tuple[list[list[Item]], str]:
    """The records that a text holds as JSON, and the text without them."""
    rows, rest = _json_rows(text)
    return [_row_items(row, role if role == "expected" else "") for row in rows], rest


def records_by_sections(text: str) -> list[list[Item]]:
    """The records that a text holds as sections, or on a line each."""
    return list(_sectioned(text)) or list(_lines(text))


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
        found = [row for row in (value if is_array(value) else [value]) if is_object(row)]
        found = [row for row in found if len(row) > 1 and not {"type", "properties", "enum"} & row.keys()]
        if found and _header_role(text[:start]) not in ("expected", "answered", "input"):
            rows[:0] = found
            rest = f"{rest[:start]}{rest[end:]}"
    return (rows, rest) if len(rows) > 1 or (rows and len(rest) < 40) else ([], text)


def _literal_values(text: str) -> Iterator[tuple[int, int, Any]]:
    """Dictionaries written as Python literals, as (start, end, value)."""
    for found in re.finditer(r"\{'[^{}]*\}", text):
        try:
            yield found.start(), found.end(), literal_value(found.group())
        except ValueError:
            continue


def _header_role(before: str) -> Role:
    """What the short line before a JSON value says it is."""
    line = before.rstrip(" \n`").rpartition("\n")[2].removesuffix("json").strip(" \n`")
    return role_of(re.sub(r"[^\w ']", " ", line).strip()) if len(line) < 40 and "{" not in line else ""


def _row_items(row: Mapping[str, Any], role: Role) -> list[Item]:
    items: list[Item] = []
    for name, value in row.items():
        key = str(name)
        own = _within(role_of(key), role)
        if is_object(value):
            items.extend(_row_items(value, own))
        elif is_array(value) and value and all(is_object(part) for part in value):
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
        _, body, key = heads[index]
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
