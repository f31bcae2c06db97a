"""Prompts for the tests of the embedded model, in the formats of several libraries, worded by us."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]

COLOURS = ("red", "blue", "green")
SHOWN = (("the sky over the sea", "blue"), ("grass and leaves", "green"), ("a fire truck, roses", "red"))
"""Demonstrations of the smallest task that can be told: which colour does a thing have?"""
QUERY = "the sea under a clear sky"


def message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def chat(system: str, shown: Sequence[tuple[str, str]], user: str) -> list[Message]:
    """System text, pairs of question and answer, and the question."""
    turns = [turn for question, answer in shown for turn in (message("user", question), message("assistant", answer))]
    return [message("system", system), *turns, message("user", user)]


def marker_prompt(system: str = "", shown: Sequence[tuple[str, str]] = SHOWN, query: str = QUERY) -> list[Message]:
    """Chat markers with hashes, the demand in the last message."""
    text = (
        "Your input fields are:\n1. `thing` (str):\n"
        "Your output fields are:\n1. `colour` (Literal['red', 'blue', 'green']):\n"
        "Every turn has this shape.\n\n[[ ## thing ## ]]\n{thing}\n\n"
        "[[ ## colour ## ]]\n{colour}\n\n[[ ## completed ## ]]\n"
        f"Objective: {system}"
    )
    pairs = [
        (f"[[ ## thing ## ]]\n{thing}", f"[[ ## colour ## ]]\n{colour}\n\n[[ ## completed ## ]]")
        for thing, colour in shown
    ]
    asked = (
        f"[[ ## thing ## ]]\n{query}\n\nRespond with the corresponding output fields, starting with the field "
        "`[[ ## colour ## ]]` (must be a valid Literal['red', 'blue', 'green']), and then ending with the marker for "
        "`[[ ## completed ## ]]`."
    )
    return chat(text, pairs, asked)
