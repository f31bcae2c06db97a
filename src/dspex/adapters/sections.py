"""Fields as sections: a header line `[[name]]` for each, its value below, `[[end]]` after the last.

A line of a value that looks like a header is written with a backslash before it, and a value that begins or ends with
white space gets a backslash there, so that what is written is what is read back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from dspex.adapters.ladder import AnswerFields, Candidate, twice, without_fence
from dspex.adapters.values import Read, writer_of
from dspex.errors import CutOffError
from dspex.kernel.ports import JSON
from dspex.kernel.signature import FieldSchema


class Sections:
    """The notation for one signature. `names` are all its fields; headers of others are plain text.

    `dressed` matches a header line in any letter case with emphasis around it: (name, the rest of the line).
    """

    __slots__ = ("_escapable", "_escaped", "_header", "dressed", "ending", "folded_names", "names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.ending = "end"
        while self.ending in self.names:
            self.ending += "_"
        known = "|".join(re.escape(name) for name in (*self.names, self.ending))
        self._header = re.compile(rf"^\[\[({known})\]\][ \t\r]*$", re.MULTILINE)
        self._escapable = re.compile(rf"^(?=\\*\[\[(?:{known})\]\][ \t\r]*$)", re.MULTILINE)
        dressed = "|".join(re.escape(name) for name in (*self.names, self.ending, "completed"))
        self.dressed = re.compile(
            rf"^[ \t>*_#`]*\[\[[ \t#]*({dressed})[ \t#]*\]\][ \t*_:`]*(.*)$", re.MULTILINE | re.IGNORECASE
        )
        self.folded_names = frozenset(name.casefold() for name in self.names)
        self._escaped = re.compile(rf"^\\(?=\\*\[\[(?:{known})\]\][ \t\r]*$)", re.MULTILINE)

    def escaped(self, text: str) -> str:
        """A text whose lines are no headers."""
        return self._escapable.sub(r"\\", text) if "[[" in text else text

    def guarded(self, text: str) -> str:
        """A value's text so that `bare` gives it back."""
        text = self.escaped(text)
        if not text or text[0] == "\\" or text[0].isspace():
            text = f"\\{text}" if _needs_front(text) else text
        if text[-1] == "\\" or text[-1].isspace():
            text = f"{text}\\" if _needs_back(text) else text
        return text

    def bare(self, text: str) -> str:
        """A value from the text under its header: blank lines around it and the backslashes of `guarded` taken off."""
        if "\n" in text:
            text = text.strip("\r\n").rstrip()
            while text and not (line := text.partition("\n"))[0].strip() and line[1]:
                text = line[2]
        if "\n" not in text:
            text = text.strip()
        if "\\" in text:
            text = _unguarded(text)
            if "[[" in text:
                text = self._escaped.sub("", text)
        return text

    def split(self, text: str) -> tuple[str, list[tuple[str, str]], str | None]:
        """(what stands before the first header, (name, raw text) of each section, what stands after the end marker).

        The last is None where there is no end marker.
        """
        pieces = self._header.split(text)
        found: list[tuple[str, str]] = []
        for index in range(1, len(pieces), 2):
            if pieces[index] == self.ending:
                return pieces[0], found, "".join(pieces[index + 1 :])
            found.append((pieces[index], pieces[index + 1]))
        return pieces[0], found, None

    def strict(self, text: str, readers: Mapping[str, Read]) -> dict[str, JSON] | None:
        """Values where the text is nothing but sections of these fields, each once, and the end marker."""
        if "[[" not in text:
            return None
        head, found, tail = self.split(text)
        if tail is None or tail.strip() or head.strip():
            return None
        values: dict[str, JSON] = {}
        for name, raw in found:
            if name in values or name not in readers:
                return None
            values[name] = readers[name](self.bare(raw))
        return values


def _needs_front(text: str) -> bool:
    rest = text.lstrip("\\")
    return not rest or rest[0].isspace()


def _needs_back(text: str) -> bool:
    rest = text.rstrip("\\")
    return bool(rest) and rest[-1].isspace()


def _unguarded(text: str) -> str:
    if text[0] == "\\" and _needs_front(text):
        text = text[1:]
    if text and text[-1] == "\\" and _needs_back(text):
        text = text[:-1]
    return text


class SectionWriter:
    """Fields of one side of a signature as sections; headers and writers are looked up once.

    What is read back (`answers`) is guarded at its edges too; of inputs, only lines that look like headers are.
    """

    __slots__ = ("_fields", "_guard")

    def __init__(self, fields: Sequence[FieldSchema], sections: Sections, *, answers: bool = False) -> None:
        self._guard = sections.guarded if answers else sections.escaped
        self._fields = [(item.name, f"[[{item.name}]]\n", writer_of(item.type)) for item in fields]

    def __call__(self, values: Mapping[str, JSON]) -> str:
        guard = self._guard
        return "\n\n".join([head + guard(write(values[name])) for name, head, write in self._fields if name in values])


@lru_cache(maxsize=256)
def sections_of(names: tuple[str, ...]) -> Sections:
    """The notation for a signature with these fields."""
    return Sections(names)


def read_sections(text: str, fields: AnswerFields) -> Candidate | None:
    """Sections of output fields up to the first end marker, however their headers are dressed.

    Raises CutOffError where the text ends inside a header or a code block, ParseError where a field is there twice.
    """
    if "[[" not in text:
        return None
    sections = sections_of(fields.everything)
    heads = list(sections.dressed.finditer(text))
    found: dict[str, str] = {}
    ended = False
    for index, head in enumerate(heads):
        given = head.group(1)
        name = fields.name_of(given)
        if name is None:
            ended = given.casefold() not in sections.folded_names
            if ended:
                break
            continue
        end = heads[index + 1].start() if index + 1 < len(heads) else len(text)
        raw = sections.bare(without_fence(f"{head.group(2)}{text[head.end() : end]}", text[: heads[0].start()]))
        if name in found and found[name] != raw:
            raise twice(name)
        found[name] = raw
    if not found:
        return None
    values = {name: fields.readers[name](raw) for name, raw in found.items()}
    if not ended:
        last = list(found)[-1]
        _check_end(text, found[last], isinstance(values[last], str) and last not in fields.texts)
    return Candidate(values, notes=("dressed sections",) if ended else ("no end marker",))


def _check_end(text: str, last: str, unread: bool) -> None:
    """Raises CutOffError where the last value, `unread` if it should be JSON and is not, seems to stop short."""
    if not last:
        raise CutOffError("the answer stops after a header, before its value")
    line = text.rstrip().rpartition("\n")[2].lstrip()
    if line.startswith("[[") and "]]" not in line:
        raise CutOffError("the answer stops inside a header")
    if unread and last[0] in "[{":
        raise CutOffError("the answer stops inside a JSON value")
    if last.count("```") % 2:
        raise CutOffError("the answer stops inside a code block")
