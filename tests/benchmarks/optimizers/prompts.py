"""Requests as DSPy 3.4.1 writes them, by hand: its chat form, its JSON form, and two of its optimizers' requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.optimizers.worlds import Case, Stage

_CLOSING = (
    "Respond with the corresponding output fields, starting with the field `[[ ## team ## ]]` (must be formatted as a "
    "valid Python Literal[...]), and then ending with the marker for `[[ ## completed ## ]]`."
)


def _ticket(case: Case) -> str:
    return f"[[ ## ticket ## ]]\n{case.text}"


def question(stage: Stage, case: Case, demos: Sequence[Case] = (), instructions: str = "") -> dict[str, Any]:
    """A question in DSPy's chat form."""
    system = (
        "Your input fields are:\n1. `ticket` (str):\nYour output fields are:\n1. `team` (Literal[...]):\n"
        "All interactions will be structured in the following way, with the appropriate values filled in.\n\n"
        "[[ ## ticket ## ]]\n{ticket}\n\n[[ ## team ## ]]\n{team}        # note: the value you produce must exactly "
        f"match (no extra characters) one of: {'; '.join(stage.answers)}\n\n[[ ## completed ## ]]\n"
        f"In adhering to this structure, your objective is: \n        {instructions or stage.instructions}"
    )
    messages = [{"role": "system", "content": system}]
    for shown in demos:
        answer = f"[[ ## team ## ]]\n{shown.label['team']}\n\n[[ ## completed ## ]]\n"
        messages += [{"role": "user", "content": _ticket(shown)}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": f"{_ticket(case)}\n\n{_CLOSING}"})
    return {"model": "small", "messages": messages}


def reflection(stage: Stage, present: str, told: Sequence[tuple[Case, str, str]]) -> dict[str, Any]:
    """DSPy's GEPA asks for a new instruction; `told` is (case, answer given, feedback)."""
    system = (
        "Your input fields are:\n1. `current_instruction` (str): The instructions I provided to the assistant.\n"
        "2. `examples_with_feedback` (list[dict[str, Any]]): Task inputs.\nYour output fields are:\n"
        "1. `new_instruction` (str): The new instruction for the assistant.\nOutputs will be a JSON object."
    )
    rows = ", ".join(
        f'{{"Inputs": {{"ticket": "{case.text}"}}, "Generated Outputs": {{"team": "{given}"}}, "Feedback": "{said}"}}'
        for case, given, said in told
    )
    asked = (
        f"[[ ## current_instruction ## ]]\n{present}\n\n[[ ## examples_with_feedback ## ]]\n[{rows}]\n\n"
        "Respond with a JSON object in the following order of fields: `new_instruction`."
    )
    return {
        "model": "small",
        "temperature": 1.0,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": asked}],
    }
