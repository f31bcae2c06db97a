"""Requests for better instructions of one step, from what is known to be right or wrong under the present ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspex.kernel.ports import JSON, Message
from dspex.kernel.space import Configuration
from dspex.optimization.deciding import SearchView
from dspex.optimization.stages import Hole, setting_of, text_of
from dspex.optimization.wording import BETWEEN_TAGS, answered, instructions_in, line, listed, longest


@dataclass(frozen=True, slots=True)
class Rewriting:
    """One request to rewrite the text of a step."""

    hole: Hole
    values: Configuration
    """Of the candidate whose text it is."""
    parts: tuple[str, ...]
    """The evidence."""
    aim: str
    sample: int
    """The same request with another one is another draw."""
    temperature: float = 0.8

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation that asks for it."""
        end = f"{self.aim} Write the improved instructions, at most {longest(self.hole)} characters, {BETWEEN_TAGS}."
        return request(self.hole, self.values, self.parts, end)


async def rewritten(search: SearchView, asked: Rewriting) -> str | None:
    """The new text, by the proposer model or else the step's own; None where it fails in passing, is too long, or is
    the old text."""
    model = setting_of(asked.hole, asked.values, "model")
    said = await answered(search, asked.messages, temperature=asked.temperature, sample=asked.sample, model=model)
    text = instructions_in(said, asked.hole)
    return None if text == text_of(asked.hole, asked.values) else text


def request(hole: Hole, values: Configuration, parts: Sequence[str], end: str) -> tuple[Message, ...]:
    """A request about the instructions of a step: the present ones, the evidence, and what to write."""
    signature = hole.step.signature
    inputs, outputs = [item.name for item in signature.inputs], [item.name for item in signature.outputs]
    system = (
        "You improve the instructions that a language model follows in one step of a program. The step is given "
        f"{listed(inputs)} and has to answer with {listed(outputs)}. From the evidence, work out what decides the "
        "right answer in general, and say it so that a model that sees only your instructions and new inputs gets them "
        "right. Do not mention these examples, and add no rule that the evidence does not support."
    )
    present = f"Current instructions:\n<current>\n{text_of(hole, values)}\n</current>"
    return ({"role": "system", "content": system}, {"role": "user", "content": "\n\n".join((present, *parts, end))})


def shown(heading: str, rows: Sequence[Mapping[str, JSON]]) -> list[str]:
    """A part of the evidence, one row on a line; none without rows."""
    return [f"{heading}, one on a line:\n" + "\n".join(map(line, rows))] if rows else []
