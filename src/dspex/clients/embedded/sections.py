"""Splits structured text into named sections, whatever the notation: markers, tags, JSON, headings, labels."""

from __future__ import annotations

import ast
import json
import re
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeGuard

Style = Literal["markers", "json", "tags", "headings", "labels", "plain"]

MARKER = re.compile(r"\[\[[ \t]*(?:#+[ \t]*)?([A-Za-z_][\w .\-]{0,60}?)[ \t]*(?:#+[ \t]*)?\]\]")
_MARKER_LINE = re.compile(rf"^[ \t]*{MARKER.pattern}", re.MULTILINE)
_OPEN_TAG = re.compile(r"<([A-Za-z_][\w.\-]*)(?:\s[^<>]*)?>")
_CLOSE_TAG = re.compile(r"</([A-Za-z_][\w.\-]*)\s*>")
_HEADING = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]+(?P<hash>[^\n#]{1,60}?)[ \t]*#*"
    r"|(?P<fence>={2,}|-{2,}|\*\*|<{2,}|<\||\[)[ \t]*(?P<bar>[A-Za-z][\w .\-]{0,40}?)[ \t]*:?[ \t]*"
    r"(?:={2,}|-{2,}|\*\*|>{2,}|\|>|\]))[ \t]*:?[ \t]*$",
    re.MULTILINE,
)
_LABEL = re.compile(
    r"^[ \t]*(?:[-*•][ \t]+)?[*_`\"]{0,2}(?P<key>[A-Za-z][\w./'()\-]*(?:[ \t][\w./#'()\-]+){0,3})[*_`\"]{0,2}[ \t]*"
    r"[:=][*_]{0,2}(?=[ \t\n]|$)",
    re.MULTILINE,
)
_BRACKET = re.compile(r"[{\[]")
_FENCED = re.compile(r"^[ \t]*```[\w-]*[ \t]*\n(.*?)\n?[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """One named part of a text; `start` is where its notation begins, in characters."""

    key: str
    text: str
    start: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """A text as its notation, what stands before the first section, and the sections in order."""

    style: Style
    head: str
    sections: tuple[Section, ...]
    opening: str = "{name}:"
    """The first header with its key replaced by {name}."""


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a JSON value is an object."""
    return isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def plain_key(name: str) -> str:
    """A field's name as it is compared: lower case, words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def unfenced(text: str) -> str:
    """The inside of a code fence when the text is nothing but one fence, otherwise the text."""
    found = _FENCED.fullmatch(text.strip())
    return found.group(1) if found else text


def fenced_blocks(text: str) -> list[str]:
    """The insides of all code fences of a text, in order."""
    return [found.group(1) for found in _FENCED.finditer(text)]


_TRIES = 200
"""Brackets that begin no JSON value, after which a text is taken to hold none."""


def json_values(text: str) -> Iterator[tuple[int, int, Any]]:
    """Every outermost JSON object or array written in a text, as (start, end, value)."""
    decoder = json.JSONDecoder()
    position = failures = 0
    while failures < _TRIES and (found := _BRACKET.search(text, position)) is not None:
        try:
            value, position = decoder.raw_decode(text, found.start())
        except RecursionError:
            return
        except ValueError:
            position = found.end()
            failures += 1
            continue
        yield found.start(), position, value


def literal_value(text: str) -> Any:
    """The value of a Python literal; raises ValueError for anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None


def as_text(value: Any) -> str:
    """A JSON value as it is compared with words: strings bare, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


Head = tuple[int, int, str]
"""Where a section's header starts, where its body starts, its key."""


def cut(text: str, heads: Sequence[Head], style: Style) -> Split:
    """The text between headers as sections."""
    ends = [head[0] for head in heads[1:]] + [len(text)]
    parts = tuple(
        Section(key.strip(), text[body:end].strip(), start) for (start, body, key), end in zip(heads, ends, strict=True)
    )
    start, body, key = heads[0]
    return Split(style, text[:start].strip(), parts, text[start:body].strip().replace(key, "{name}", 1))


def marker_heads(text: str) -> list[Head]:
    """Headers like [[ ## name ## ]] at the start of a line."""
    return [(found.start(), found.end(), found.group(1)) for found in _MARKER_LINE.finditer(text)]


def heading_heads(text: str) -> list[Head]:
    """Headers on a line of their own like "## name", "**name**", "=== name ===" or "[name]"."""
    return [
        (found.start(), found.end(), (found.group("hash") or found.group("bar")).strip(" :*"))
        for found in _HEADING.finditer(text)
    ]


def label_heads(text: str) -> list[Head]:
    """Labels at the start of a line, like "Name: text"."""
    return [(found.start(), found.end(), found.group("key")) for found in _LABEL.finditer(text)]


def by_markers(text: str) -> Split | None:
    """Sections under marker lines."""
    heads = marker_heads(text)
    return cut(text, heads, "markers") if heads else None


def by_headings(text: str) -> Split | None:
    """Sections under heading lines."""
    heads = heading_heads(text)
    return cut(text, heads, "headings") if heads else None


def by_labels(text: str) -> Split | None:
    """Sections after labels."""
    heads = label_heads(text)
    return cut(text, heads, "labels") if heads else None


def by_tags(text: str) -> Split | None:
    """Outermost elements like <name>text</name>, each up to the first end tag of its name."""
    ends: dict[str, list[tuple[int, int]]] = {}
    for found in _CLOSE_TAG.finditer(text):
        ends.setdefault(found.group(1), []).append(found.span())
    parts: list[Section] = []
    position = 0
    for found in _OPEN_TAG.finditer(text):
        closing = ends.get(found.group(1), [])
        index = bisect_left(closing, (found.end(), 0))
        if found.start() >= position and index < len(closing):
            start, position = closing[index]
            parts.append(Section(found.group(1), text[found.end() : start].strip(), found.start()))
    return Split("tags", text[: parts[0].start].strip(), tuple(parts)) if parts else None


def by_json(text: str) -> Split | None:
    """The members of the JSON object that the text (or the fence in it) is; none when it is something else."""
    inside = unfenced(text).strip()
    if not inside.startswith("{"):
        return None
    try:
        value = json.loads(inside)
    except (ValueError, RecursionError):
        return None
    if not is_object(value):
        return None
    return Split("json", "", tuple(Section(key, as_text(item)) for key, item in value.items()))


_READERS: tuple[Callable[[str], Split | None], ...] = (by_markers, by_json, by_tags, by_headings, by_labels)


@lru_cache(maxsize=2_048)
def split_answer(text: str) -> Split:
    """An answer as sections, by the first notation with which it begins; otherwise one unnamed section."""
    for reader in _READERS:
        found = reader(text)
        if found is not None and not found.head:
            return found
    return Split("plain", "", (Section("", text.strip()),))


def split_input(text: str) -> Split:
    """A message's inputs as sections, by the first notation that occurs; text before it is the head.

    Labels count only where the text, or a paragraph of it, begins with one: a colon inside a letter is no label.
    """
    for reader in _READERS[:-1]:
        found = reader(text)
        if found is not None:
            return found
    found = by_labels(text)
    if found is not None and (not found.head or text[: found.sections[0].start].endswith("\n\n")):
        return found
    return Split("plain", "", (Section("", text.strip()),))
