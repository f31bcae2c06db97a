"""Requests for instructions that go by what was tried: earlier attempts in ascending order of their scores.

The steps are COPRO's (DSPy) and OPRO's (arXiv 2309.03409).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dspex.kernel.ports import Message
from dspex.optimization.deciding import SearchView
from dspex.optimization.stages import Hole
from dspex.optimization.wording import BETWEEN_TAGS, answered, instructions_in, listed, longest

TEMPERATURE = 1.4


@dataclass(frozen=True, slots=True)
class Attempt:
    """Instructions that were tried, and what came of them, in 0..1."""

    text: str
    score: float


def first_request(hole: Hole, present: str) -> tuple[Message, ...]:
    """For instructions where none were tried yet."""
    asked = (
        f"{_about(hole)} Below are the current instructions. Write better ones: say what leads a good model to the "
        "right answer, and do not hesitate to go about it differently."
    )
    return _request(hole, asked, f"Current instructions:\n<current>\n{present}\n</current>")


def next_request(hole: Hole, attempts: Sequence[Attempt]) -> tuple[Message, ...]:
    """For instructions that do better than these."""
    ascending = sorted(attempts, key=lambda item: item.score)
    shown = [
        f"Instruction #{number}: {item.text}\nResulting Score #{number}: {item.score:.3f}"
        for number, item in enumerate(ascending, start=1)
    ]
    asked = (
        f"{_about(hole)} Below are instructions that were tried, from the worst to the best, each with its score in "
        "0..1. Work out what makes the better ones better, and write new instructions that do better still."
    )
    return _request(hole, asked, "\n\n".join(shown))


async def proposed(
    search: SearchView, hole: Hole, request: Sequence[Message], sample: int, model: str | None
) -> str | None:
    """The instructions that the proposer model answers with; None where there are none in it."""
    text = await answered(search, request, temperature=TEMPERATURE, sample=sample, model=model)
    return instructions_in(text, hole)


def _about(hole: Hole) -> str:
    signature = hole.step.signature
    inputs, outputs = [item.name for item in signature.inputs], [item.name for item in signature.outputs]
    return (
        "You improve the instructions that a language model follows in one step of a program. The step is given "
        f"{listed(inputs)} and has to answer with {listed(outputs)}."
    )


def _request(hole: Hole, asked: str, told: str) -> tuple[Message, ...]:
    closing = f"Write the improved instructions, at most {longest(hole)} characters, {BETWEEN_TAGS}."
    return ({"role": "system", "content": asked}, {"role": "user", "content": f"{told}\n\n{closing}"})
