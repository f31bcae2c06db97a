"""What requests to the proposer model have in common: rows as lines, and instructions read out of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from dspex.errors import AnswerError, LMError
from dspex.kernel.canonical import is_mapping
from dspex.kernel.ports import JSON, Message
from dspex.kernel.variables import Text
from dspex.optimization.deciding import SearchView
from dspex.optimization.stages import Hole

_LONGEST = 1500
_FENCE = re.compile(r"^```\w*\n(.*?)\n?```$", re.DOTALL)
BETWEEN_TAGS = "between <instructions> and </instructions>, and nothing else"


async def answered(
    search: SearchView, messages: Sequence[Message], *, temperature: float, sample: int, model: str | None = None
) -> str | None:
    """The proposer model's answer; None where this one request failed in passing, so that the others go on."""
    try:
        return await search.lab.ask(messages, temperature=temperature, sample=sample, model=model)
    except (LMError, AnswerError) as error:
        if error.infrastructure and not error.transient:
            raise
        return None


def longest(hole: Hole) -> int:
    """Most characters of the instructions."""
    variable = hole.dimension.variable
    return variable.max_length if isinstance(variable, Text) else 4000


def between(tag: str, text: str | None) -> str:
    """What stands between the last tags of that name, where there are any, else all of the text; without a fence."""
    tagged: list[str] = re.findall(rf"<{tag}>\s*(.*?)\s*</{tag}>", text or "", re.DOTALL | re.IGNORECASE)
    found = (tagged[-1] if tagged else text or "").strip()
    fenced = _FENCE.match(found)
    return fenced.group(1).strip() if fenced else found


def instructions_in(text: str | None, hole: Hole) -> str | None:
    """Between the tags where there are any, else all of it without a fence; shortened by lines to what is allowed."""
    found, limit = between("instructions", text), longest(hole)
    while len(found) > limit and "\n" in found:
        found = found[: found.rindex("\n")].rstrip()
    return found if found and len(found) <= limit else None


def picked(item: Mapping[str, JSON], names: Sequence[str]) -> dict[str, JSON]:
    """Those of the fields that are there."""
    return {name: item[name] for name in names if name in item}


def listed(names: Sequence[str]) -> str:
    """Names of fields in a sentence."""
    return ", ".join(f"`{name}`" for name in names)


def line(row: Mapping[str, JSON]) -> str:
    """A row as one line of JSON, long texts in it cut."""
    text = json.dumps(row, ensure_ascii=False)
    if len(text) <= _LONGEST:
        return text
    return json.dumps({key: _shortened(value) for key, value in row.items()}, ensure_ascii=False)


def _shortened(value: JSON) -> JSON:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else f"{value[:_LONGEST]} [...]"
    return {key: _shortened(item) for key, item in value.items()} if is_mapping(value) else value
