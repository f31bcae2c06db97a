"""Finds the instruction that a request is about: the current one, those tried before, and whose they are."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dspex.clients.embedded.documents import numberless
from dspex.clients.embedded.prompt import Prompt
from dspex.clients.embedded.records import role_of
from dspex.clients.embedded.sections import (
    by_tags,
    fenced_blocks,
    heading_heads,
    is_array,
    label_heads,
    marker_heads,
    plain_key,
)
from dspex.clients.embedded.wishes import asks_for_text

_NOUN = r"(?:instructions?|prompts?|guidelines?|rules?|playbook|directives?|system_message|task_description)"
_KEY = re.compile(
    rf"^(?:current|existing|present|old|previous|original|baseline)$|^(?:(?:the|your|my|our|its|current|existing|old|previous|original|base|basic|seed|initial|present|task|system|parent|module"
    rf"|assistant|model|program|student|s)_?)*{_NOUN}(?:_(?:text|so_far|in_use|to_improve|used|now|in_use|being_used))*$"
)
_INTRODUCED = re.compile(
    rf"\b(?:{_NOUN.replace('_', '[ _]')}|system message)\b[^\n]{{0,120}}:?[ \t]*\n+[ \t]*```[\w-]*\n(.*?)\n[ \t]*```",
    re.IGNORECASE | re.DOTALL,
)
_QUOTED = re.compile(
    rf"\b{_NOUN.replace('_', '[ _]')}\b[^\n\"“”]{{0,60}}[:,]?\s*"
    r"(?:\"\"\"\s*(.{8,}?)\s*\"\"\"|[\"“`](.{8,}?)[\"”`](?=\W|$))",
    re.IGNORECASE | re.DOTALL,
)
_ATTEMPT = re.compile(
    r"(?:instruction|prompt|attempt|candidate)s?\s*(?:#|no\.?\s*)?\d*\s*:\s*"
    r"(?P<text>(?:(?!\b(?:instruction|prompt|attempt|candidate)s?\s*#?\s*\d).)+?)\s*"
    r"(?:[\n;,|]\s*prefix\s*#?\d*\s*:\s*(?P<prefix>[^\n|]*?)\s*)?"
    r"[\n;,|(]\s*(?:resulting |validation |dev |mean |its )?(?:score|accuracy|rating)\s*#?\d*\s*[:=]\s*"
    r"(?P<score>\d+(?:\.\d+)?)",
    re.IGNORECASE | re.DOTALL,
)


_NUMBERED_ITEM = re.compile(r"\s*»+|\[\d+\]\s*«+\s*")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An instruction that was tried, with the score that the request reports for it."""

    text: str
    score: float
    prefix: str = ""


def current_instruction(prompt: Prompt, raw: Sequence[str]) -> str:
    """The instruction that the request wants improved, as it stands there; "" where it shows none."""
    for section in prompt.query:
        if _KEY.match(plain_key(section.key)) and len(section.text) > 12:
            return _bare(section.text)
    for text in reversed(raw):
        for found in (_tagged(text), _fenced(text), _under_header(text), _quoted(text)):
            if found:
                return _bare(_without_request(found))
    return ""


def _without_request(text: str) -> str:
    """A text without closing paragraphs that lead to something else, or say what is wanted of the instruction."""
    body, blank, last = text.rstrip().rpartition("\n\n")
    if blank and (last.rstrip().endswith(":") or asks_for_text(last)):
        return _without_request(body)
    return text


def _bare(text: str) -> str:
    blocks = fenced_blocks(text)
    return blocks[0].strip() if len(blocks) == 1 and text.strip().startswith("```") else text.strip().strip('"').strip()


def _tagged(text: str) -> str:
    split = by_tags(text)
    if split is None:
        return ""
    return next((s.text for s in split.sections if _KEY.match(plain_key(s.key)) and len(s.text) > 12), "")


def _fenced(text: str) -> str:
    found = _INTRODUCED.search(text)
    return found.group(1) if found else ""


def _under_header(text: str) -> str:
    """The text under a header like "Current instruction", up to the next header that is none of its own."""
    strong = sorted([*marker_heads(text), *heading_heads(text)])
    strong_starts = {head[0] for head in strong}
    heads = sorted([*strong, *label_heads(text)])
    for index, (start, body, key) in enumerate(heads):
        if not _KEY.match(numberless(key)):
            continue
        enders: set[int] = strong_starts if start in strong_starts else set()
        end = next((h[0] for h in heads[index + 1 :] if h[0] in enders or _ends(h[2])), len(text))
        found = text[body:end].strip()
        if found:
            return found if start in strong_starts or end < len(text) else found.partition("\n\n")[0]
    return ""


def _ends(key: str) -> bool:
    """Whether a header under an instruction begins something else: examples, answers, scores."""
    return role_of(key) != "" or numberless(key).rstrip("s") in {
        "example",
        "failure",
        "ticket",
        "input",
        "task",
        "mistake",
    }


def _quoted(text: str) -> str:
    found = _QUOTED.search(text)
    return next((part for part in found.groups() if part), "") if found else ""


def attempts_in(text: str) -> list[Attempt]:
    """Instructions with the scores they got, in order."""
    return [
        Attempt(
            found.group("text").strip(" \"'«»`"), float(found.group("score")), (found.group("prefix") or "").strip()
        )
        for found in _ATTEMPT.finditer(_NUMBERED_ITEM.sub("\n", text))
    ]


def names_listed(prompt: Prompt) -> list[str]:
    """Names that an input called ..._names lists, or the module names that traces in the request show."""
    for section in prompt.query:
        if plain_key(section.key).endswith("names"):
            try:
                value = json.loads(section.text)
            except ValueError:
                return [part.strip(" -*'\"") for part in re.split(r"[,\n]", section.text.strip("[]")) if part.strip()]
            return [str(part) for part in value] if is_array(value) else [str(value)]
    traces = "\n".join(section.text for section in prompt.query)
    return list(dict.fromkeys(re.findall(r"\"(?:module|predictor|component)(?:_name)?\"\s*:\s*\"([^\"]+)\"", traces)))
