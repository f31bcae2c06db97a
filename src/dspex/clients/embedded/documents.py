"""Takes one text that holds instructions, examples and perhaps a question apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dspex.clients.embedded.sections import (
    Head,
    Section,
    Style,
    as_text,
    by_tags,
    cut,
    fenced_blocks,
    heading_heads,
    is_array,
    is_object,
    json_values,
    label_heads,
    marker_heads,
    plain_key,
    split_answer,
)
from dspex.clients.embedded.terms import word_set

_INSTRUCTING = word_set("""
    instruction instructions task objective goal role rule rules guideline guidelines guidance format output_format
    response_format answer_format output outputs label labels category categories options choices classes constraints
    note notes requirements definitions steps schema system background_rules examples example hint hints important
    remember your_task choose one_of choose_one_of pick_one_of answer_with reply_with option label_as
    """)
_EXAMPLE = frozenset({"example", "demo", "demonstration", "sample", "shot", "case", "record", "item", "few_shot"})
_QUOTE = re.compile(r"\"\"\"(.+?)\"\"\"|\"([^\"\n]{12,})\"|“([^”]{12,})”|'([^'\n]{25,})'", re.DOTALL)
BULLETS = ("- ", "* ", "• ")
_PLACEHOLDER = re.compile(r"^\s*(?:\{[^{}\n]*\}.*|<[^<>\n]*>|\.\.\.|…|\[[^\[\]\n]*\])\s*$")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A worked example. Where a notation does not tell inputs from outputs, everything stands in `outputs`."""

    inputs: tuple[Section, ...]
    outputs: tuple[Section, ...]
    style: Style
    opening: str = "{name}:"
    """The header of an output with its name replaced by {name}."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text taken apart; `guidance` is what is left without examples and question."""

    guidance: str
    demonstrations: tuple[Demonstration, ...]
    query: tuple[Section, ...]


def numberless(key: str) -> str:
    """A key without the number that counts examples: "Example 3" and "Example #3" are both "example"."""
    return re.sub(r"_?(?:no_?)?\d+$", "", plain_key(key))


@lru_cache(maxsize=512)
def read_document(text: str, asks: bool) -> Document:
    """Instructions, examples and, where the text `asks`, the question in it."""
    for heads_of, style in _HEADS:
        found = _records(text, heads_of(text), style, asks)
        if found is not None:
            return found
    shown, rest = _element_examples(text)
    if not shown:
        shown, rest = _json_examples(text)
    if not asks:
        return Document(rest.strip(), shown, ())
    guidance, query = _question(rest.strip())
    return Document(guidance, shown, query)


_HEADS: tuple[tuple[Callable[[str], list[Head]], Style], ...] = (
    (marker_heads, "markers"),
    (heading_heads, "headings"),
    (label_heads, "labels"),
)


def _records(text: str, heads: Sequence[Head], style: Style, asks: bool) -> Document | None:
    """Examples as a run of sections that begins again and again with the same key; bullets are rules, no examples."""
    heads = [head for head in heads if not text[head[0] :].lstrip(" \t").startswith(BULLETS)]
    counts = Counter(numberless(key) for _, _, key in heads)
    first = next((index for index, head in enumerate(heads) if counts[numberless(head[2])] > 1), None)
    if first is None:
        return None
    opening = numberless(heads[first][2])
    if opening not in _EXAMPLE and sum(count > 1 for count in counts.values()) < 2:
        return None
    kept = [head for head in heads[first:] if counts[numberless(head[2])] > 1 or head is heads[-1]]
    sections = cut(text, kept, style).sections
    starts = [index for index, section in enumerate(sections) if numberless(section.key) == opening]
    records = [_inside(sections[start:end]) for start, end in zip(starts, [*starts[1:], len(sections)], strict=True)]
    asked = asks and len(_filled(records[-1])) < max(len(_filled(record)) for record in records[:-1])
    shown, tail = records, ""
    if asked:
        shown = records[:-1]
    else:
        records[-1], tail = _without_tail(records[-1])
    missing = {numberless(s.key) for r in shown for s in r} - {numberless(s.key) for s in _filled(records[-1])}
    demonstrations = tuple(_split_record(record, missing if asked else set(), style) for record in shown if record)
    query = tuple(_filled(records[-1])) if asked else ()
    guidance = f"{text[: kept[0][0]].strip()}\n\n{tail}".strip()
    if asks and not asked:
        guidance, query = _question(guidance) if tail else (guidance, query)
    return Document(guidance, demonstrations, query)


def _filled(record: Sequence[Section]) -> list[Section]:
    return [section for section in record if section.text]


def _inside(record: Sequence[Section]) -> list[Section]:
    """A record's sections; where it is one "Example 3" with a text, the sections of that text."""
    if numberless(record[0].key) not in _EXAMPLE:
        return list(record)
    inner = list(split_answer(record[0].text).sections) if record[0].text else []
    return [*inner, *record[1:]]


def _without_tail(record: list[Section]) -> tuple[list[Section], str]:
    """The last example without the paragraphs that follow its answer, and these paragraphs."""
    if not record:
        return record, ""
    value, _, tail = record[-1].text.partition("\n\n")
    return [*record[:-1], Section(record[-1].key, value, record[-1].start)], tail


def _split_record(record: Sequence[Section], outputs: set[str], style: Style) -> Demonstration:
    inputs = tuple(section for section in record if outputs and numberless(section.key) not in outputs)
    answers = tuple(section for section in record if not outputs or numberless(section.key) in outputs)
    return Demonstration(inputs, answers, style)


def _element_examples(text: str) -> tuple[tuple[Demonstration, ...], str]:
    """Examples like <example>...</example>, also inside one <examples> element, and the text without them."""
    split = by_tags(text)
    if split is None:
        return (), text
    shown: list[Demonstration] = []
    rest = text
    for section in split.sections:
        key = numberless(section.key)
        if key in _EXAMPLE:
            shown.append(Demonstration((), split_answer(section.text).sections, "tags"))
        elif key.rstrip("s") in _EXAMPLE:
            shown.extend(read_document(section.text, False).demonstrations)
        else:
            continue
        element = re.compile(rf"<{re.escape(section.key)}\b[^<>]*>.*?</{re.escape(section.key)}\s*>", re.DOTALL)
        rest = element.sub("", rest, count=1)
    return tuple(shown), rest


def _json_examples(text: str) -> tuple[tuple[Demonstration, ...], str]:
    """Two or more JSON objects of the same keys (or a list of them) as examples, and the text without them."""
    rows: list[Mapping[str, Any]] = []
    spans: list[tuple[int, int]] = []
    for start, end, value in json_values(text):
        found = [row for row in (value if is_array(value) else [value]) if _is_example(row)]
        if found:
            rows.extend(found)
            spans.append((start, end))
    if len(rows) < 2 or len({frozenset(row) for row in rows}) > 2:
        return (), text
    rest = text
    for start, end in reversed(spans):
        rest = rest[:start] + rest[end:]
    shown = tuple(
        Demonstration((), tuple(Section(k, as_text(v)) for k, v in _flat(row).items()), "json") for row in rows
    )
    return shown, rest


def _is_example(row: Any) -> bool:
    if not is_object(row) or len(row) < 2 or {"type", "properties", "enum", "$ref"} & row.keys():
        return False
    return not any(isinstance(value, str) and _PLACEHOLDER.match(value) for value in row.values())


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the members of its objects lifted to the top: {"inputs": {"a": 1}} is {"a": 1}."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        flat.update(value if is_object(value) else {key: value})
    return flat


def _question(text: str) -> tuple[str, tuple[Section, ...]]:
    """What a text asks about, apart from what it says how to answer: (guidance, question)."""
    for reader in (_marked_question, _fenced_question, _labelled_question, _quoted_question):
        found = reader(text)
        if found is not None:
            return found
    head, blank, last = text.rpartition("\n\n")
    if not blank:
        head, colon, last = text.partition(":\n" if ":\n" in text else ": ")
        if not colon or len(head) > len(last) * 4:
            return text, (Section("", text),)
    return head.strip(), (Section("", last.strip()),)


def _marked_question(text: str) -> tuple[str, tuple[Section, ...]] | None:
    """Inputs under markers or headings or in elements; parts that instruct by their name stay guidance."""
    for heads_of, style in _HEADS[:2]:
        heads = heads_of(text)
        if heads:
            split = cut(text, heads, style)
            return _without_instructing(split.head, split.sections)
    split_tags = by_tags(text)
    if split_tags is None:
        return None
    outside = text
    for section in split_tags.sections:
        if section.text and not _PLACEHOLDER.match(section.text):
            outside = outside.replace(section.text, "", 1)
    return _without_instructing(outside, split_tags.sections)


def _without_instructing(head: str, sections: Sequence[Section]) -> tuple[str, tuple[Section, ...]] | None:
    asked = [s for s in sections if plain_key(s.key) not in _INSTRUCTING and s.text and not _PLACEHOLDER.match(s.text)]
    if not asked:
        return None
    rest = [section.text for section in sections if section not in asked]
    return "\n\n".join(part for part in (head, *rest) if part).strip(), tuple(asked)


def _labelled_question(text: str) -> tuple[str, tuple[Section, ...]] | None:
    """Labelled inputs at the end of the text, the last label left empty being the answer's cue."""
    heads = label_heads(text)
    chosen: list[Head] = []
    for head in reversed(heads):
        listed = text[head[0] :].lstrip(" \t").startswith(BULLETS)
        if listed or plain_key(head[2]) in _INSTRUCTING:
            break
        chosen.insert(0, head)
    if not chosen:
        return None
    split = cut(text, chosen, "labels")
    query = tuple(_filled(split.sections))
    return (split.head, query) if query and split.head else None


def _fenced_question(text: str) -> tuple[str, tuple[Section, ...]] | None:
    """The last code fence."""
    blocks = fenced_blocks(text)
    return (text.replace(blocks[-1], ""), (Section("", blocks[-1].strip()),)) if blocks else None


def _quoted_question(text: str) -> tuple[str, tuple[Section, ...]] | None:
    """The last long quotation."""
    quotes = [next(part for part in found if part) for found in _QUOTE.findall(text)]
    return (text.replace(quotes[-1], ""), (Section("", quotes[-1].strip()),)) if quotes else None
