"""Instructions rewritten by a model that reads labelled examples and what the present ones got wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from dspex.kernel.ports import JSON, Message
from dspex.optimization.ports import Candidate, Evaluation, Proposal, SearchView, Turn, VariableKind
from dspex.optimization.stages import Hole, holes, labelled, setting_of, text_of
from dspex.optimization.wording import BETWEEN_TAGS, answered, instructions_in, line, listed, longest, picked

SHOWN = 48
"""Labelled examples in one request."""
MINIBATCH = 16
"""Training examples the parent is run on to see it fail."""
FAILURES = 12
AIMS = (
    "State, for each possible answer, which words and facts in the inputs speak for it.",
    "Repair what caused the mistakes below, keep the rest, and delete whatever misleads.",
    "Find what tells apart the answers that are confused with each other, and write one rule for each such pair.",
    "Write afresh, as short numbered rules, the most frequent cases first.",
)


@dataclass(frozen=True, slots=True)
class Task:
    """One request for new instructions."""

    parent: Candidate
    hole: Hole
    messages: tuple[Message, ...]
    sample: int


class Reflection:
    """Asks the proposer model for better instructions of one step, several times over with different evidence."""

    name = "reflection"
    needs: frozenset[VariableKind] = frozenset({"text"})
    without_feedback = "the expected answers and the scores"

    async def propose(self, turn: Turn) -> list[Proposal]:
        parents = [turn.parent() for _ in range(turn.count)]
        failures = await _failures(turn.search, {item.id for item in parents})
        made = [_task(turn, item, index, failures.get(item.id, [])) for index, item in enumerate(parents)]
        tasks = [task for task in made if task is not None]
        answers = await asyncio.gather(*(_answer(turn.search, task) for task in tasks))
        found: list[Proposal] = []
        for task, answer in zip(tasks, answers, strict=True):
            if answer and answer != text_of(task.hole, task.parent.values):
                values = {**task.parent.values, task.hole.dimension.path: answer}
                said = f"instructions of {task.hole.path} rewritten from what went wrong"
                found.append(Proposal(values, self.name, (task.parent.id,), said))
        return found


def _task(turn: Turn, parent: Candidate, index: int, failures: Sequence[Evaluation]) -> Task | None:
    search, rng = turn.search, turn.rng
    wanted = holes(search.problem.program, parent.values, "text")
    if not wanted:
        return None
    hole = rng.choice(wanted)
    chosen = rng.sample(search.problem.train, min(SHOWN, len(search.problem.train)))
    shown = [item.values for item in labelled(hole.step, chosen)]
    if not failures and not shown:
        return None
    messages = _messages(
        hole, text_of(hole, parent.values), shown, _told(search, hole, failures), _closing(rng, longest(hole))
    )
    return Task(parent, hole, messages, index)


async def _failures(search: SearchView, parents: Collection[str]) -> dict[str, list[Evaluation]]:
    """For each parent, training examples on which it scores less than it could, worst first."""
    batch = search.minibatch(MINIBATCH)
    rows = await search.lab.evaluate([(parent, example, 0) for parent in sorted(parents) for example in batch])
    found: dict[str, list[Evaluation]] = {}
    for row in sorted(rows, key=lambda row: (row.score or 0.0, row.example)):
        if row.score is not None and row.score < 1:
            found.setdefault(row.candidate, []).append(row)
    return {parent: wrong[:FAILURES] for parent, wrong in found.items()}


async def _answer(search: SearchView, task: Task) -> str | None:
    model = setting_of(task.hole, task.parent.values, "model")
    text = await answered(search, task.messages, temperature=0.8, sample=task.sample, model=model)
    return instructions_in(text, task.hole)


def _told(search: SearchView, hole: Hole, failures: Sequence[Evaluation]) -> list[dict[str, JSON]]:
    """Failures as the model reads them: what the step was given, what it gave, what was expected, and the remarks."""
    names = [item.name for item in hole.step.signature.outputs]
    found: list[dict[str, JSON]] = []
    for row in failures:
        example = search.problem.examples[row.example]
        trace = next((item for item in row.trace if item.step == hole.path), None)
        if trace is None:
            continue
        told: dict[str, JSON] = {"inputs": dict(trace.inputs), "answered": dict(trace.outputs or {})}
        told["expected"] = {name: example[name] for name in names if name in example.values}
        told["feedback"] = row.feedback or row.error or f"score {row.score:.2f}"
        found.append({key: value for key, value in told.items() if value})
    return found


def _messages(
    hole: Hole, present: str, shown: Sequence[Mapping[str, JSON]], told: Sequence[Mapping[str, JSON]], closing: str
) -> tuple[Message, ...]:
    signature = hole.step.signature
    inputs, outputs = [item.name for item in signature.inputs], [item.name for item in signature.outputs]
    parts = [f"Current instructions:\n<current>\n{present}\n</current>"]
    if shown:
        rows = [{"inputs": picked(item, inputs), "expected": picked(item, outputs)} for item in shown]
        parts.append("Labelled examples, one on a line:\n" + "\n".join(map(line, rows)))
    if told:
        parts.append("Mistakes made under the current instructions, one on a line:\n" + "\n".join(map(line, told)))
    parts.append(closing)
    system = (
        "You improve the instructions that a language model follows in one step of a program. The step is given "
        f"{listed(inputs)} and has to answer with {listed(outputs)}. From the evidence, work out what decides the "
        "right answer in general, and say it so that a model that sees only your instructions and new inputs gets them "
        "right. Do not mention these examples, and add no rule that the evidence does not support."
    )
    return ({"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(parts)})


def _closing(rng: Random, limit: int) -> str:
    return f"{rng.choice(AIMS)} Write the improved instructions, at most {limit} characters, {BETWEEN_TAGS}."
