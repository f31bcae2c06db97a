"""Recognizes requests to write or improve instructions, however they are phrased."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dspex.clients.embedded.cases import cases_in
from dspex.clients.embedded.forms import Field, Form
from dspex.clients.embedded.instructions import attempts_in, current_instruction
from dspex.clients.embedded.prompt import Prompt
from dspex.clients.embedded.sections import plain_key
from dspex.clients.embedded.wishes import NOUN, wishes_instructions

_NAME_NOUN = re.compile(
    r"(?:^|_)(?:instructions?|prompts?|guidelines?|guidance|rules?|directives?|playbook|advice)(?:$|_)"
)
_NOT_THE_TEXT = re.compile(
    r"prefix|reason|rationale|name|count|score|type|analysis|discussion|explanation|summary|_id$"
)


@dataclass(frozen=True, slots=True)
class Job:
    """A request to write instructions: which fields of its answer hold them."""

    fields: tuple[str, ...]


def recognized(prompt: Prompt, form: Form, raw: Sequence[str]) -> Job | None:
    """The job, when a request is to write instructions rather than to follow some; None otherwise.

    By the name of a free output field ("new_instruction"), or by what the request says it wants written, provided that
    it speaks of a model, a task or its examples. Where only bare text is asked for, it must also show what there is to
    rewrite or to learn from, unless it says nothing of admissible answers.
    """
    free = [field for field in form.fields if "enum" not in field.schema]
    named = tuple(field.name for field in free if _names_instructions(field))
    says = wishes_instructions(f"{prompt.guidance}\n{prompt.demand}")
    if named and (says or any(_qualified(name) for name in named)):
        return Job(named)
    if prompt.turns:
        return None
    if form.style == "plain":
        return _plain_job(prompt, form, raw, says)
    if not says or len(free) < len(form.fields):
        return None
    told = [field.name for field in free if re.search(NOUN, field.about, re.IGNORECASE)]
    return Job((told[-1],)) if told else None


def _plain_job(prompt: Prompt, form: Form, raw: Sequence[str], says: bool) -> Job | None:
    asked = "\n".join(raw)
    data = [section for shown in prompt.demonstrations for section in (*shown.inputs, *shown.outputs)]
    for section in (*data, *(prompt.query if prompt.cue is not None else ())):
        asked = asked.replace(section.text, "")
    if not says and not wishes_instructions(asked):
        return None
    job = Job((form.fields[0].name,))
    if says and "enum" not in form.fields[0].schema:
        return job
    parts = [("", text) for text in raw]
    return job if cases_in(parts) or attempts_in(asked) or current_instruction(prompt, raw) else None


def _names_instructions(field: Field) -> bool:
    name = plain_key(field.name)
    return _NAME_NOUN.search(name) is not None and _NOT_THE_TEXT.search(name) is None


def _qualified(name: str) -> bool:
    """Whether a name says that it is a text yet to be made, like new_instruction."""
    kinds = (
        r"new|improved|proposed|updated|better|revised|optimi[sz]ed|refined|rewritten|candidate|suggested|module|edited"
    )
    return re.search(rf"(?:^|_)(?:{kinds})_", plain_key(name)) is not None
