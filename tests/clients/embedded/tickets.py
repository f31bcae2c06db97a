"""The demo's tickets under prompts of the project's adapters, for tests of what the embedded model makes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Any

from dspex.adapters.chat import ChatAdapter
from dspex.cli.tickets import rows
from dspex.clients.embedded.responding import respond
from dspex.kernel.ports import Capabilities, Completion
from dspex.kernel.signature import FieldSchema, Schema
from tests.clients.embedded.prompts import message

Row = dict[str, Any]

TEAMS = ("billing", "technical", "account", "shipping", "sales")
URGENCIES = ("low", "normal", "high")
PLAIN = "Read a ticket. Say which team should answer it and how urgent it is."


@lru_cache(maxsize=1)
def shuffled() -> tuple[Row, ...]:
    found = rows()
    Random(5).shuffle(found)
    return tuple(found)


def schema(teams: Sequence[str] = TEAMS, urgencies: Sequence[str] = URGENCIES, reasoning: bool = False) -> Schema:
    return Schema(
        instructions=PLAIN,
        inputs=(FieldSchema(name="ticket", type={"type": "string"}),),
        outputs=(
            *((FieldSchema(name="reasoning", type={"type": "string"}),) if reasoning else ()),
            FieldSchema(name="team", type={"enum": list(teams), "type": "string"}),
            FieldSchema(name="urgency", type={"enum": list(urgencies), "type": "string"}),
        ),
    )


def answers(signature: Schema, instructions: str, demos: Sequence[Row], tickets: Sequence[str]) -> list[Row]:
    dialogue = ChatAdapter().bind(signature, instructions, demos, Capabilities())
    return [dialogue.parse(Completion(respond(dialogue.render({"ticket": t}), {}))).values for t in tickets]


def accuracy(instructions: str, demos: Sequence[Row], test: Sequence[Row], reasoning: bool = False) -> float:
    """The mean over both fields."""
    found = answers(schema(reasoning=reasoning), instructions, demos, [row["ticket"] for row in test])
    right = [given[name] == row[name] for given, row in zip(found, test, strict=True) for name in ("team", "urgency")]
    return right.count(True) / len(right)


def rewritten(instructions: str, train: Sequence[Row], present: Sequence[Row]) -> str:
    """The instruction after one request that shows labelled rows with what was answered to them."""
    lines = "\n".join(
        json.dumps(
            {
                "inputs": {"ticket": row["ticket"]},
                "answered": {name: given[name] for name in ("team", "urgency")},
                "expected": {name: row[name] for name in ("team", "urgency")},
            }
        )
        for row, given in zip(train, present, strict=True)
    )
    asked = f"Current instruction:\n<current>\n{instructions}\n</current>\n\nExamples:\n{lines}\n\nImprove it."
    return respond([message("system", "You improve instructions for a language model."), message("user", asked)], {})
