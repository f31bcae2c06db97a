"""Answers requests to write or improve instructions with rules learned from the examples in them."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dspex.clients.embedded.cases import Case, cases_in
from dspex.clients.embedded.forms import Field, Form
from dspex.clients.embedded.instructions import Attempt, attempts_in, current_instruction, names_listed
from dspex.clients.embedded.passages import Choices
from dspex.clients.embedded.prompt import Prompt
from dspex.clients.embedded.recognition import Job
from dspex.clients.embedded.rules import Style, drawn_style, lessons, shortened, with_rules
from dspex.clients.embedded.sections import plain_key
from dspex.clients.embedded.tasks import resolved

_ABOUT_THE_PROGRAM = re.compile(r"code|defn|definition|description|names?$|module$|metadata|tip$|summary")
_LIMIT = re.compile(
    r"(?:at most|no more than|under|within|max(?:imum)?(?: of| length)?|fewer than|less than|up to|limit of)\W{1,3}"
    r"(\d{2,6}) (characters|chars|words|tokens)",
    re.IGNORECASE,
)
_PER_UNIT = {"characters": 1.0, "chars": 1.0, "words": 6.0, "tokens": 4.0}
_ADDITIONS = (
    "Compare the input with the examples, where there are any, and answer as the most similar ones were answered.",
    "Decide by what the input says, word by word, rather than by its tone alone.",
    "Weigh every part of the input before answering, and give nothing but what is asked for.",
    "Where several answers seem possible, take the one for which the most words of the input speak.",
)


def compose(job: Job, prompt: Prompt, form: Form, raw: Sequence[str], draw: random.Random | None) -> dict[str, Any]:
    """Values for the fields of the answer. `raw` are the texts of the request's messages, in order."""
    parts = _parts(prompt, raw)
    cases = cases_in(parts)
    tried = attempts_in("\n\n".join(text for _, text in parts))
    style = _limited(drawn_style(draw) if draw is not None else Style(), "\n".join(raw))
    current = current_instruction(prompt, [text for _, text in parts])
    written = _instruction(current, cases, tried, style, draw)
    values: dict[str, Any] = {}
    for field in form.fields:
        if field.name in job.fields:
            only_rules = not current and _ONLY_RULES.search(plain_key(field.name)) is not None
            text = _instruction("", cases, [], style, draw, False) if only_rules else written
            values[field.name] = _as_type(text, field, form, prompt)
        else:
            values[field.name] = _beside(field, form, cases, tried)
    return values


def _parts(prompt: Prompt, raw: Sequence[str]) -> list[tuple[str, str]]:
    """Where examples may stand, as (name, text): the named inputs except code and descriptions, or all messages."""
    named = [(plain_key(section.key), section.text) for section in prompt.query if section.key]
    if len(named) == len(prompt.query) and prompt.style in ("markers", "json"):
        return [(name, text) for name, text in named if _ABOUT_THE_PROGRAM.search(name) is None]
    return [("", text) for text in raw]


def _limited(style: Style, text: str) -> Style:
    found = _LIMIT.search(text)
    return (
        style if found is None else replace(style, longest=int(int(found.group(1)) * _PER_UNIT[found.group(2).lower()]))
    )


def _instruction(
    current: str,
    cases: Sequence[Case],
    tried: Sequence[Attempt],
    style: Style,
    draw: random.Random | None,
    whole: bool = True,
) -> str:
    """The new instruction: the current one, or the best of those tried, with what the cases teach; or only that."""
    if not current and tried:
        current = max(tried, key=lambda attempt: attempt.score).text
    statement = tidied(current) or (_statement(cases) if whole else "")
    choices, free = split_fields(cases)
    text = with_rules(statement, cases, choices, style, draw) if choices else statement
    new = [lesson for lesson in lessons(cases, free) if lesson not in text]
    if not cases:
        addition = draw.choice(_ADDITIONS) if draw is not None else _ADDITIONS[0]
        new = [addition] if addition not in text else []
    return shortened("\n".join((text, *new)).strip(), style.longest)


def described(cases: Sequence[Case]) -> str:
    """What can be said of examples for certain: how many, how long, and which answers they have."""
    lengths = sorted(len(case.text.split()) for case in cases)
    choices, free = split_fields(cases)
    parts = [f"There are {len(cases)} examples; their inputs have about {lengths[len(lengths) // 2]} words."]
    parts += [f"The {field or 'answer'} is one of {', '.join(answers)}." for field, answers in choices]
    parts += [f"The {field or 'answer'} is free text." for field in free]
    return " ".join(parts)


def describing(prompt: Prompt, form: Form) -> dict[str, str]:
    """Descriptions for the output fields that ask for one of examples in the inputs: by field; {} where none does."""
    wanted = [field.name for field in form.fields if _DESCRIBES.search(plain_key(field.name))]
    cases = cases_in([(plain_key(section.key), section.text) for section in prompt.query]) if wanted else ()
    return dict.fromkeys(wanted, described(cases)) if len(cases) > 1 else {}


def split_fields(cases: Sequence[Case]) -> tuple[Choices, dict[str, list[str]]]:
    """The cases' fields as those with a few recurring answers (with these) and those with free ones (with all)."""
    values: dict[str, list[str]] = {}
    for case in cases:
        for field, value in case.expected.items():
            values.setdefault(field, []).append(value)
    choices: list[tuple[str, tuple[str, ...]]] = []
    free: dict[str, list[str]] = {}
    if len(values) > 1:
        values.pop("", None)  # an answer without a name beside named ones is no field of the task
    for field, found in values.items():
        distinct = tuple(dict.fromkeys(found))
        short = all(len(value.split()) <= 4 and len(value) <= 40 for value in distinct)
        if short and len(distinct) <= 40 and (len(distinct) <= 0.5 * len(found) or len(found) <= 4):
            choices.append((field, distinct))
        else:
            free[field] = found
    return tuple(choices), free


def _statement(cases: Sequence[Case]) -> str:
    """A task statement where the request has none: what the examples show is asked for."""
    names = list(dict.fromkeys(name for case in cases for name in case.expected if name))
    what = " and the ".join(name.replace("_", " ") for name in names) or "answer"
    return f"Read the input and give the {what}."


def tidied(text: str) -> str:
    """A text without trailing spaces, doubled blank lines and repeated lines."""
    lines: list[str] = []
    for line in (line.rstrip() for line in text.strip().split("\n")):
        if (line and line in lines) or (not line and lines and not lines[-1]):
            continue
        lines.append(line)
    return "\n".join(lines).strip()


def _as_type(text: str, field: Field, form: Form, prompt: Prompt) -> Any:
    """The instruction as the field's type wants it: a text, a list of its lines, or one text a module's name."""
    schema = resolved(field.schema, form.defs)
    if schema.get("type") == "array":
        return [line.strip("- ") for line in text.split("\n") if line.strip()]
    if schema.get("type") == "object":
        names = list(schema.get("properties") or {}) or names_listed(prompt)
        return dict.fromkeys(names or ["instruction"], text)
    return _wrapped(text, _around(prompt)) if form.style == "plain" else text


def _wrapped(text: str, request: str) -> str:
    """A text in the tags or the code fence that a request wants around it."""
    tags = re.findall(
        r"\b(?:between|inside|within|in|into|with)\s+(?:the\s+)?(?:tags?\s+)?[`\"']?<([A-Za-z_][\w-]*)>", request
    )
    if tags:
        return f"<{tags[-1]}>\n{text}\n</{tags[-1]}>"
    if re.search(r"\bcode (?:fence|block)|\bfenced\b|\bbackticks|\bwithin ```|\bin ```", request):
        return f"```\n{text}\n```"
    return text


def _around(prompt: Prompt) -> str:
    """Where a request says how its answer is to be wrapped: the ends of its parts."""
    return "\n".join((prompt.guidance[-800:], prompt.demand, prompt.closing))


_ONLY_RULES = re.compile(r"advice|rule|lesson|insight|tip")
_DESCRIBES = re.compile(r"observ|summar|descri|trend|pattern")


def _beside(field: Field, form: Form, cases: Sequence[Case], tried: Sequence[Attempt]) -> Any:
    """A field of the answer beside the instruction: what was done, in words; never an invented finding."""
    schema = resolved(field.schema, form.defs)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    plain: Mapping[str, Any] = {
        "integer": len(cases),
        "number": float(len(cases)),
        "boolean": bool(cases),
        "null": None,
    }
    if kind in plain:
        return plain[kind]
    if kind in ("array", "object"):
        return [] if kind == "array" else {}
    if "prefix" in field.name:
        return next((attempt.prefix for attempt in tried if attempt.prefix), "Answer:")
    failed = sum(case.failed for case in cases)
    if not cases:
        return "The request holds no examples to learn from."
    return f"Counted which terms tell the answers apart in {len(cases)} examples, {failed} of them answered wrongly."
