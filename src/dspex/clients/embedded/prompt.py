"""Reads messages: what guides, which demonstrations were shown, what is asked now, how the answer is demanded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from dspex.clients.embedded.documents import Demonstration, read_document
from dspex.clients.embedded.sections import (
    Section,
    Style,
    is_array,
    is_object,
    plain_key,
    split_answer,
    split_input,
    unfenced,
)

_DEMAND = re.compile(
    r"(?:now |please |then |finally |and )*(?:respond|reply|answer|return|output|produce|give|provide|write|fill"
    r"|complete|use|end|start|begin|your (?:answer|response|reply|output))\b",
    re.IGNORECASE,
)
_FORMAT_WORD = re.compile(
    r"`|\[\[|\{|</?\w+>|\b(?:fields?|format|json|xml|tags?|markers?|object|schema|labels?|only|exactly|one of|sections?"
    r"|headers?|headings?|lines?|structure)\b",
    re.IGNORECASE,
)
_CORRECTION = re.compile(
    r"\b(?:invalid|not valid|could not be|couldn't be|cannot be|can't be|did not|didn't|does not|doesn't|failed|error"
    r"|missing|try again|validation|instead of)\b",
    re.IGNORECASE,
)
_OF_THE_ANSWER = re.compile(
    r"\b(?:your|that|the (?:previous|last)|this) (?:previous |last |earlier )?(?:answer|reply|response|output)\b"
    r"|\b(?:could not|cannot|couldn't) (?:be )?pars|\btry again\b",
    re.IGNORECASE,
)
_OUTPUT_CUE = re.compile(r"\n[ \t]*[*_]{0,2}([A-Za-z][\w \-]{0,30}?)[*_]{0,2}[ \t]*:[*_]{0,2}[ \t]*$")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request as it was understood. Texts are as the messages have them."""

    guidance: str
    """Everything that instructs: system messages and what surrounds the inputs."""
    demonstrations: tuple[Demonstration, ...]
    query: tuple[Section, ...]
    """The inputs to answer now; an unnamed one where the message has no notation."""
    demand: str
    """The closing words that say in which form to answer."""
    cue: str | None = None
    """The label at the very end of the message that the answer continues, as in "Answer:"."""
    style: Style = "plain"
    """The notation of the query."""
    closing: str = ""
    """The end of the last message as it stands, where requests without notation say how to answer."""
    turns: int = 0
    """How many of the demonstrations were earlier turns of the conversation; the others stand in a text."""


def text_of(content: Any) -> str:
    """A message's text; of a list of parts, the text parts joined."""
    if isinstance(content, str):
        return content
    if is_array(content):
        return "\n".join(str(part["text"]) for part in content if is_object(part) and "text" in part)
    return ""


@lru_cache(maxsize=1_024)
def cut_demand(text: str) -> tuple[str, str]:
    """A message without the closing paragraphs that say how to answer, and these paragraphs."""
    body, demand = text.rstrip(), ""
    for _ in range(4):
        kept, blank, last = body.rpartition("\n\n")
        if not blank or not (_DEMAND.match(last.lstrip(" \t*#->")) and _FORMAT_WORD.search(last)):
            break
        body, demand = kept.rstrip(), f"{last}\n\n{demand}" if demand else last
    return body, demand


def read_prompt(messages: Sequence[Mapping[str, Any]]) -> Prompt:
    """The parts of a request of chat messages ({"role", "content"})."""
    system = "\n\n".join(
        text
        for message in messages
        if message.get("role") in ("system", "developer") and (text := text_of(message["content"]))
    )
    pairs, last, correction = _pairs(messages)
    shown = tuple(_demonstration(question, answer) for question, answer in pairs)
    body, demand = cut_demand(last)
    demand = f"{demand}\n\n{correction}".strip()
    if not system and not shown:
        return replace(_alone(body, demand), closing=last[-400:])
    background = read_document(system, False)
    cue = _OUTPUT_CUE.search(body)
    if _is_document(body):
        asked = read_document(body, True)
        return Prompt(
            f"{background.guidance}\n\n{asked.guidance}".strip(),
            background.demonstrations + asked.demonstrations + shown,
            asked.query,
            demand,
            cue.group(1) if cue else None,
            closing=last[-400:],
            turns=len(shown),
        )
    if cue is not None:
        body = body[: cue.start()]
    split = split_input(body)
    guidance = f"{background.guidance}\n\n{split.head}".strip() if split.head else background.guidance
    named = cue.group(1) if cue else None
    return Prompt(
        guidance, background.demonstrations + shown, split.sections, demand, named, split.style, last[-400:], len(shown)
    )


def _alone(body: str, demand: str) -> Prompt:
    """A request of one message that holds the instructions, the examples and the question."""
    document = read_document(body, True)
    cue = _OUTPUT_CUE.search(body)
    return Prompt(
        document.guidance, document.demonstrations, document.query, demand, cue.group(1) if cue is not None else None
    )


def _is_document(body: str) -> bool:
    """Whether a user message carries examples of its own: a label or a marker that opens more than one part."""
    keys = [plain_key(section.key) for section in split_input(body).sections]
    return len(keys) > 2 and any(keys.count(key) > 1 for key in keys)


def _pairs(messages: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[str, str]], str, str]:
    """(question, answer) pairs shown before, the question now, and what was said of an earlier answer to it."""
    pairs: list[tuple[str, str]] = []
    asked: list[str] = []
    for message in messages:
        role, text = message.get("role"), text_of(message.get("content"))
        if role == "assistant" and asked:
            pairs.append(("\n\n".join(asked), text))
            asked = []
        elif role in ("user", "tool"):
            asked.append(text)
    last, corrections = "\n\n".join(asked), ""
    while pairs and (not last or _corrects(last, pairs[-1][0])):
        corrections = f"{last}\n\n{corrections}".strip()
        last = pairs.pop()[0]
    return pairs, last, corrections


def _corrects(text: str, question: str) -> bool:
    """Whether a message speaks of the answer before it rather than asks something new."""
    if _CORRECTION.search(text) is None:
        return False
    before, now = split_input(question), split_input(text)
    if before.style == "plain":
        return _OF_THE_ANSWER.search(text) is not None
    return {section.key for section in before.sections}.isdisjoint(section.key for section in now.sections)


@lru_cache(maxsize=4_096)
def _demonstration(question: str, answer: str) -> Demonstration:
    body, _ = cut_demand(question)
    cue = _OUTPUT_CUE.search(body)
    inputs = split_input(body[: cue.start()] if cue else body).sections
    given = split_answer(unfenced(answer))
    return Demonstration(inputs, given.sections, given.style, given.opening)
