"""Reads a request as the model would: what is asked for, in which form, about which case, with which demonstrations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from benchmarks.optimizers.words import CASE

Form = Literal["marked", "sections", "json", "xml", "tags", "plain"]
"""`marked`: DSPy's `[[ ## field ## ]]`; `sections`: `[[field]]`; `tags`: a text between tags that the request names."""

_MARKED = re.compile(r"\[\[ ## (\w+) ## \]\]")
_MARKED_ASK = "Respond with the corresponding output fields"
_JSON_ASK = "Respond with a JSON object in the following order of fields:"
_SECTIONS = re.compile(r"Answer with ((?:\[\[\w+\]\][, and]*)+)\.")
_OBJECT = re.compile(r"Answer with one JSON object and nothing else; keys?: (.*)\.")
_ELEMENTS = re.compile(r"Answer with ((?:<(\w+)>\.\.\.</\2>[, ]*)+) and nothing else")
_PAIR = re.compile(r"<(\w+)>\W{0,12}(?:and|\.\.\.)?\W{0,12}</\1>")
_KEYS = re.compile(r'"(\w+)"\s*:')


@dataclass(frozen=True, slots=True)
class Shown:
    """A demonstration in a prompt: the case it shows, and the answer's text."""

    case: str
    answer: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a request says to whoever reads it without knowing the framework."""

    form: Form
    fields: tuple[str, ...]
    """Asked for, in order."""
    system: str
    """What stands before anything is shown."""
    demos: tuple[Shown, ...]
    asked: str
    """The last message."""
    case: str | None
    """The code of the case asked about."""
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def everything(self) -> str:
        """All that the request says."""
        shown = (f"{item.case}\n{item.answer}" for item in self.demos)
        return "\n\n".join([self.system, *shown, self.asked])


def read(body: Mapping[str, Any]) -> Reading:
    """A chat completions request, read."""
    messages: Sequence[Mapping[str, Any]] = body["messages"]
    texts = [(str(item["role"]), _text(item.get("content"))) for item in messages]
    asked = texts[-1][1]
    system = "\n".join(text for role, text in texts[:-1] if role in ("system", "developer"))
    form, fields = _wanted(asked)
    codes = CASE.findall(asked)
    settings = {name: value for name, value in body.items() if name not in ("messages", "model")}
    return Reading(
        form, fields, system, _demos(texts[:-1]), asked, codes[-1] if codes else None, str(body["model"]), settings
    )


def _text(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    """A message's text, whole or in parts."""
    return content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in content or ())


def _demos(texts: Sequence[tuple[str, str]]) -> tuple[Shown, ...]:
    """Questions with the answers that follow them."""
    found: list[Shown] = []
    for (role, question), (next_role, answer) in pairwise(texts):
        codes = CASE.findall(question)
        if role == "user" and next_role == "assistant" and codes:
            found.append(Shown(codes[-1], answer))
    return tuple(found)


def _wanted(asked: str) -> tuple[Form, tuple[str, ...]]:
    """The form and the fields that the last message asks for, by its closing line."""
    at = asked.rfind(_MARKED_ASK)
    if at >= 0:
        return "marked", tuple(name for name in _MARKED.findall(asked[at:]) if name != "completed")
    at = asked.rfind(_JSON_ASK)
    if at >= 0:
        return "json", tuple(re.findall(r"`(\w+)`", asked[at:]))
    if found := _SECTIONS.findall(asked):
        return "sections", tuple(re.findall(r"\[\[(\w+)\]\]", found[-1]))[:-1]
    if found := _OBJECT.findall(asked):
        return "json", tuple(re.findall(r'"(\w+)"', found[-1]))
    if elements := _ELEMENTS.findall(asked):
        return "xml", tuple(re.findall(r"<(\w+)>", elements[-1][0]))
    closing = asked[-800:]
    if pairs := _PAIR.findall(closing):
        return "tags", tuple(dict.fromkeys(pairs))
    if "JSON" in closing and (keys := _KEYS.findall(closing)):
        return "json", tuple(dict.fromkeys(keys))
    return "plain", ("text",)
