"""Fields as XML elements `<name>value</name>`: text as it is, all else as JSON.

Only what would be misread is written as a character reference: tags of fields, references, white space at the edges.
"""

from __future__ import annotations

import re
from functools import lru_cache

from dspex.adapters.ladder import AnswerFields, Candidate, twice
from dspex.errors import CutOffError
from dspex.kernel.ports import JSON

_ENTITY = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6}));")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_CDATA = re.compile(r"\s*<!\[CDATA\[(.*?)\]\]>\s*", re.DOTALL)
_EDGES = re.compile(r"\A\s+|\s+\Z")


class Elements:
    """The notation for one signature; `names` are all its fields, whose tags are never left in a value."""

    __slots__ = ("_element", "_unsafe")

    def __init__(self, names: tuple[str, ...]) -> None:
        known = "|".join(re.escape(name) for name in names)
        self._element = re.compile(rf"\s*<({known})>(.*?)</\1>", re.DOTALL)
        self._unsafe = re.compile(rf"<(?=/?(?:{known})[\s/>]|!\[CDATA\[)|{_REFERENCE}", re.IGNORECASE)

    def write(self, name: str, text: str) -> str:
        """One element; a text of several lines has lines of its own."""
        if "<" in text or "&" in text:
            text = self._unsafe.sub(lambda found: "&lt;" if found.group() == "<" else "&amp;", text)
        if text != text.strip():
            text = _EDGES.sub(lambda found: "".join(f"&#{ord(sign)};" for sign in found.group()), text)
        return f"<{name}>\n{text}\n</{name}>" if "\n" in text else f"<{name}>{text}</{name}>"

    def strict(self, text: str, fields: AnswerFields) -> dict[str, JSON] | None:
        """Values where the text is nothing but elements of output fields, each once and without attributes."""
        values: dict[str, JSON] = {}
        position = 0
        while (found := self._element.match(text, position)) is not None:
            name, raw = found.groups()
            if name in values or name not in fields.readers or f"<{name}" in raw:
                return None
            values[name] = fields.readers[name](element_text(raw))
            position = found.end()
        return values if values and not text[position:].strip() else None


_REFERENCE = r"&(?=(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-f]{1,6});)"


def element_text(raw: str) -> str:
    """The value in an element: trimmed, CDATA opened, the five named and all numbered character references read."""
    found = _CDATA.fullmatch(raw)
    if found:
        return found.group(1)
    text = raw.strip()
    return _ENTITY.sub(_character, text) if "&" in text else text


def read_elements(text: str, fields: AnswerFields) -> Candidate | None:
    """XML elements named like output fields, attributes and letter case aside. Raises CutOffError for an open one."""
    if "<" not in text:
        return None
    element, opening = _lenient(fields.names)
    found: dict[str, str] = {}
    for match in element.finditer(text):
        name = fields.name_of(match.group(1)) or match.group(1)
        raw = match.group(2) or ""
        if name in found and found[name].strip() != raw.strip():
            raise twice(name)
        found[name] = raw
    unclosed = opening.search(element.sub(" ", text))
    if unclosed is not None:
        raise CutOffError(f"the answer stops inside <{unclosed.group(1)}>")
    if not found:
        return None
    values = {name: fields.readers[name](element_text(raw)) for name, raw in found.items()}
    return Candidate(values, notes=("XML elements",))


@lru_cache(maxsize=256)
def _lenient(names: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """An element of one of these fields, and an opening tag."""
    known = "|".join(re.escape(name) for name in names)
    element = rf"<({known})(?:\s[^<>]*)?(?:/>|(?<!/)>(.*?)</\1\s*>)"
    return re.compile(element, re.DOTALL | re.IGNORECASE), re.compile(rf"<({known})(?:\s[^<>]*)?>", re.IGNORECASE)


def _character(found: re.Match[str]) -> str:
    if found.group(1):
        return _ENTITIES[found.group(1)]
    code = int(found.group(2)) if found.group(2) else int(found.group(3), 16)
    return chr(code) if code < 0x110000 else found.group()
