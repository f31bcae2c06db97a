"""Requests for instructions that stand on what is known: the data, the program, the step, and what it took and gave.

The steps are MIPRO's (arXiv 2406.11695).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspex.kernel.ports import JSON, Message
from dspex.kernel.program import Program
from dspex.kernel.signature import FieldSchema, Schema
from dspex.optimization.deciding import SearchView
from dspex.optimization.stages import Hole
from dspex.optimization.wording import BETWEEN_TAGS, answered, line, listed, longest, picked

BATCH = 10
"""Examples in one look at the data."""
LOOKS = 10
"""Looks at the data, at most."""
ENOUGH = 5
"""Looks that bring nothing new after which no more are taken."""
SHOWN = 3
"""Demonstrations in one request."""
TIPS: Mapping[str, str] = {
    "none": "",
    "creative": "Do not hesitate to take an unusual approach.",
    "simple": "Keep it clear and short.",
    "description": "Be thorough: describe the task and how to go about it in detail.",
    "high_stakes": "Put a situation into it in which much depends on the right answer.",
    "persona": "Give the model a role that suits the task.",
}
"""Kinds of instruction to ask for."""
_COMPLETE = "COMPLETE"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a request for instructions stands on. Empty parts are left out of it."""

    summary: str = ""
    """Of the data."""
    program: str = ""
    """What the program does, in words."""
    step: str = ""
    """What the step is for."""
    shown: tuple[Mapping[str, JSON], ...] = ()
    """Demonstrations of the step."""
    tip: str = "none"


async def summary_of(search: SearchView, looks: int = LOOKS) -> str:
    """The training data in two or three sentences of the proposer model's; empty where it failed to answer.

    It is shown one batch after the other together with what it has noticed so far, until it has nothing to add.
    """
    rows = [item.values for item in search.problem.train]
    noticed: list[str] = []
    skipped = 0
    for start in range(0, min(len(rows), looks * BATCH), BATCH):
        answer = await answered(search, _look(rows[start : start + BATCH], noticed), temperature=1.0, sample=0)
        if answer is None or answer.strip()[: len(_COMPLETE)].upper() == _COMPLETE:
            skipped += 1
            if skipped == ENOUGH:
                break
        elif answer.strip():
            noticed.append(answer.strip())
    if not noticed:
        return ""
    asked = "Sum these observations on a data set up in two or three sentences; name what matters for doing the task."
    return (await answered(search, _one(asked, "\n\n".join(noticed)), temperature=1.0, sample=0) or "").strip()


async def program_description(search: SearchView, shown: Sequence[Mapping[str, JSON]], model: str | None) -> str:
    """What the program seems to be for and how it goes about it; empty where the model failed to answer."""
    asked = (
        "Below is a program of steps that language models perform, as data, and an example or more of what a step took "
        "and gave. Say in a few sentences which task it seems to be for and how it goes about it."
    )
    parts = [f"Program:\n{source_of(search.problem.program)}", *_examples(shown)]
    return (await answered(search, _one(asked, *parts), temperature=1.0, sample=0, model=model) or "").strip()


async def step_description(
    search: SearchView, hole: Hole, program: str, shown: Sequence[Mapping[str, JSON]], model: str | None
) -> str:
    """What one step of the program is for; empty where the model failed to answer."""
    asked = (
        "Below is a program of steps that language models perform, as data, with a description of it. Say in a "
        f"sentence or two what the step {hole.path!r} contributes to the whole."
    )
    parts = [f"Program:\n{source_of(search.problem.program)}", *([f"Description:\n{program}"] if program else [])]
    parts += [*_examples(shown), f"The step in question: {hole.path}"]
    return (await answered(search, _one(asked, *parts), temperature=1.0, sample=0, model=model) or "").strip()


def instructions_wanted(search: SearchView, hole: Hole, present: str, ground: Ground) -> tuple[Message, ...]:
    """The request for new instructions of the step, to be read with `wording.instructions_in`."""
    signature = hole.step.signature
    inputs, outputs = [item.name for item in signature.inputs], [item.name for item in signature.outputs]
    system = (
        "You write the instructions that a language model follows in one step of a program. The step is given "
        f"{listed(inputs)} and has to answer with {listed(outputs)}. Use what is said below of the data, the program "
        "and the step, so that a model that sees only your instructions and new inputs does its part well."
    )
    named = {
        "What the data is like": ground.summary,
        "The program, as data": source_of(search.problem.program),
        "What the program does": ground.program,
        f"What the step {hole.path!r} is for": ground.step,
    }
    parts = [f"{name}:\n{text}" for name, text in named.items() if text]
    parts += _split(signature, ground.shown[:SHOWN])
    parts.append(f"Current instructions:\n<current>\n{present}\n</current>")
    tip = f"{TIPS[ground.tip]} " if TIPS[ground.tip] else ""
    closing = f"{tip}Write the improved instructions, at most {longest(hole)} characters, {BETWEEN_TAGS}."
    return ({"role": "system", "content": system}, {"role": "user", "content": "\n\n".join([*parts, closing])})


def source_of(program: Program) -> str:
    """A program as a reader sees it: each step with its module, its fields and its instructions."""
    lines = [f"program {program.name}{f': {program.description}' if program.description else ''}"]
    for path, step in program.walk():
        indent = "  " * (1 + path.count("."))
        taken, given = map(_listed, (step.signature.inputs, step.signature.outputs))
        lines.append(f"{indent}{path}: {step.module}({taken}) -> {given}")
        lines += [f"{indent}  {text}" for text in step.signature.instructions.splitlines()]
    return "\n".join(lines)


def _listed(fields: Sequence[FieldSchema]) -> str:
    return ", ".join(f"{item.name} ({item.description})" if item.description else item.name for item in fields)


def _look(rows: Sequence[Mapping[str, JSON]], noticed: Sequence[str]) -> tuple[Message, ...]:
    asked = (
        "Here are some examples of a data set, one on a line. Note what they have in common and what differs among "
        "them: topics, kinds of text, length, how the fields hang together, what makes one harder than another."
    )
    if not noticed:
        return _one(asked, "\n".join(map(line, rows)))
    again = f"{asked} What has been noticed so far is below; add what is new, or answer {_COMPLETE} where nothing is."
    return _one(again, "Noticed so far:\n" + "\n\n".join(noticed), "Examples:\n" + "\n".join(map(line, rows)))


def _one(asked: str, *parts: str) -> tuple[Message, ...]:
    return ({"role": "system", "content": asked}, {"role": "user", "content": "\n\n".join(parts)})


def _examples(shown: Sequence[Mapping[str, JSON]]) -> list[str]:
    return ["Examples, one on a line:\n" + "\n".join(map(line, shown[:SHOWN]))] if shown else []


def _split(signature: Schema, shown: Sequence[Mapping[str, JSON]]) -> list[str]:
    """Demonstrations with what was given apart from what was answered."""
    taken, given = ([item.name for item in fields] for fields in (signature.inputs, signature.outputs))
    rows: list[dict[str, JSON]] = [{"inputs": picked(item, taken), "expected": picked(item, given)} for item in shown]
    return ["Labelled examples, one on a line:\n" + "\n".join(map(line, rows))] if rows else []
