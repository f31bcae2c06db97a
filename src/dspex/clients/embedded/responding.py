"""From messages to an answer: reads the prompt, answers its fields, writes them in the form that it asks for."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from dspex.clients.embedded.answering import answer, query_of
from dspex.clients.embedded.documents import Demonstration
from dspex.clients.embedded.forms import Shape, read_form, shape_of, write
from dspex.clients.embedded.prompt import read_prompt, text_of
from dspex.clients.embedded.recognition import recognized
from dspex.clients.embedded.rewriting import compose, describing
from dspex.clients.embedded.sections import is_object, plain_key
from dspex.clients.embedded.tasks import Task, prepare


def respond(messages: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], sample: int = 0) -> str:
    """The answer to chat messages ({"role", "content"}). The same request and sample always get the same answer.

    Of the settings it reads `temperature` (none is 0: the most likely answer) and `response_format`.
    """
    prompt = read_prompt(messages)
    temperature = float(settings.get("temperature") or 0.0)
    draw = generator(messages, settings, sample) if temperature > 0 else None
    task = _understood(
        prompt.guidance,
        prompt.demonstrations,
        prompt.demand,
        frozenset(plain_key(section.key) for section in prompt.query),
        prompt.cue,
        _format_of(settings),
    )
    raw = [text_of(message.get("content")) for message in messages]
    job = recognized(prompt, task.form, raw)
    if job is not None:
        varied = generator(messages, settings, sample) if temperature > 0 or sample > 0 else None
        return write(task.form, compose(job, prompt, task.form, raw, varied))
    values = answer(task, query_of(prompt.query, temperature, draw))
    return write(task.form, values | describing(prompt, task.form))


@lru_cache(maxsize=256)
def _understood(
    guidance: str,
    demonstrations: tuple[Demonstration, ...],
    demand: str,
    asked: frozenset[str],
    cue: str | None,
    response_format: str,
) -> Task:
    """What a prompt asks and says, apart from the query: shared by all queries under the same prompt."""
    form = read_form(guidance, demand, _shapes(demonstrations), asked, cue, response_format)
    return prepare(form, guidance, demonstrations)


def generator(messages: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], sample: int) -> random.Random:
    """A generator seeded by the whole request and the sample index."""
    whole = json.dumps([list(map(dict, messages)), dict(settings), sample], sort_keys=True, default=str)
    return random.Random(hashlib.sha256(whole.encode()).digest())


def _shapes(demonstrations: tuple[Demonstration, ...]) -> tuple[Shape, ...]:
    """The notation of the last demonstration that tells inputs from outputs."""
    for shown in reversed(demonstrations):
        if shown.inputs:
            return (shape_of([section.key for section in shown.outputs], shown.style, shown.opening),)
    return ()


def _format_of(settings: Mapping[str, Any]) -> str:
    wanted = settings.get("response_format")
    return json.dumps(wanted, default=str) if is_object(wanted) else ""
