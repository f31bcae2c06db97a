"""Requests to write or improve instructions are recognized however they are phrased, and other requests are not."""

from __future__ import annotations

import json
import re

import pytest

from dspex.clients.embedded.responding import respond
from tests.clients.embedded.prompts import QUERY, Message, chat, marker_prompt, message

EXAMPLES = """Input: I was charged twice for March
Expected: billing
Model said: technical

Input: the router blinks red
Expected: technical
Model said: technical

Input: an invoice with a wrong amount, charged again
Expected: billing
Model said: account"""
CURRENT = "Sort each message into billing or technical."
ROWS = [
    {"inputs": {"text": "I was charged twice"}, "answered": {"team": "technical"}, "expected": {"team": "billing"}},
    {"inputs": {"text": "the router blinks"}, "answered": {"team": "technical"}, "expected": {"team": "technical"}},
]
LINES = "\n".join(map(json.dumps, ROWS))
REMARKS = json.dumps(
    [
        {
            "Inputs": {"text": "I was charged twice"},
            "Generated Outputs": {"team": "technical"},
            "Feedback": "The correct team is billing.",
        },
        {
            "Inputs": {"text": "the router blinks"},
            "Generated Outputs": {"team": "technical"},
            "Feedback": "Well done, correct.",
        },
    ]
)
TRACE = """# Example 1
## Inputs
### text
I was charged twice

## Generated Outputs
### team
technical

## Feedback
Expected team to be billing. Score: 0.0

# Example 2
## Inputs
### text
the router blinks

## Generated Outputs
### team
technical

## Feedback
This run got a score of 1.0."""
DEMOS = "Text: I was charged twice\nTeam: billing\n\nText: the router blinks\nTeam: technical"


def fields(inputs: dict[str, str], output: str, objective: str) -> list[Message]:
    """A rewriting request as a program of fields under markers asks it."""
    asked = "\n\n".join(f"[[ ## {name} ## ]]\n{text}" for name, text in inputs.items())
    listed = "\n".join(f"{number}. `{name}` (str)" for number, name in enumerate(inputs, start=1))
    system = (
        f"Your input fields are:\n{listed}\nYour output fields are:\n1. `{output}` (str): what you propose\n\n"
        f"[[ ## {output} ## ]]\n{{{output}}}\n\n[[ ## completed ## ]]\n{objective}"
    )
    demand = f"Respond with the output fields, starting with `[[ ## {output} ## ]]`, then `[[ ## completed ## ]]`."
    return [message("system", system), message("user", f"{asked}\n\n{demand}")]


def trajectory(team: str) -> str:
    return json.dumps([{"module_name": "route", "inputs": ROWS[0]["inputs"], "outputs": {"team": team}}])


REQUESTS: dict[str, list[Message]] = {
    "improved prompt only": [
        message("system", "You improve prompts. Reply with nothing but the improved prompt."),
        message("user", f"Current prompt:\n{CURRENT}\n\n{EXAMPLES}"),
    ],
    "rewrite it": [
        message(
            "user",
            "Below is the instruction that a classifier follows, and cases it got wrong. Rewrite it so that it gets "
            f"these right.\n\n```\n{CURRENT}\n```\n\n{EXAMPLES}\n\nPut the new wording in a code fence.",
        )
    ],
    "expert with tags": [
        message("system", "You are an expert prompt engineer."),
        message(
            "user",
            f"<current_instruction>{CURRENT}</current_instruction>\n<examples>\n{EXAMPLES}\n</examples>\n"
            "Propose one better instruction for the model.",
        ),
    ],
    "induction from outputs": [
        message(
            "user",
            "I gave a colleague an instruction and some inputs. These are the outputs they produced:\n\n"
            "Input: I was charged twice\nOutput: billing\n\nInput: router blinks\nOutput: technical\n\n"
            "The instruction was:",
        )
    ],
    "a question": [
        message("user", f"What set of guidelines would make a language model answer like this?\n\n{EXAMPLES}")
    ],
    "mistakes into rules": [
        message("system", "Your job: turn mistakes into rules."),
        message("user", f"Write short rules that an assistant can follow to avoid the mistakes below.\n\n{EXAMPLES}"),
    ],
    "playbook": [
        message("system", "You maintain the playbook of a support assistant."),
        message(
            "user",
            f"The playbook so far:\n{CURRENT}\n\nUpdate the playbook with what these cases teach.\n\n{EXAMPLES}",
        ),
    ],
    "come up with": [
        message(
            "user",
            "Come up with a clearer system prompt for the following task. "
            f'Current system prompt: "{CURRENT}"\n\n{EXAMPLES}',
        )
    ],
    "revised with a score": [
        message("system", "You tune instructions for language models."),
        message(
            "user",
            f"Instruction: {CURRENT}\nAccuracy: 33%\n\nSome failures:\n\n{EXAMPLES}\n\n"
            "Give me a revised instruction that scores higher.",
        ),
    ],
    "labelling policy": [
        message(
            "user",
            "Induce the labelling policy the annotators used and state it as guidance for a new annotator model.\n\n"
            + EXAMPLES,
        )
    ],
    "JSON": [
        message("system", 'Reply as JSON: {"new_prompt": "..."}'),
        message("user", f"The prompt `{CURRENT}` makes these mistakes. Repair it.\n\n{EXAMPLES}"),
    ],
    "advice for a module": [
        message(
            "user",
            "# Task\nDraft advice for the module so that it stops making these errors.\n\n"
            f"# Module instruction\n{CURRENT}\n\n# Failures\n{EXAMPLES}",
        )
    ],
    "task description": [
        message("system", "You refine task descriptions."),
        message(
            "user",
            f"Task description in use: {CURRENT}\n\nExamples with model answers:\n{EXAMPLES}\n\n"
            "Return a refined task description only.",
        ),
    ],
    "fix": [
        message(
            "user",
            f"Please fix this prompt. It confuses the two labels.\n\nPrompt:\n{CURRENT}\n\nEvidence:\n{EXAMPLES}",
        )
    ],
    "directives": [
        message(
            "user",
            "Formulate directives (at most 400 characters) which, put in front of an input, let an LLM give the "
            f"expected output.\n\n{EXAMPLES}",
        )
    ],
    "mutation": [
        message("system", "You mutate prompts for an evolutionary search."),
        message(
            "user",
            f"Parent prompt: {CURRENT}\n\nProduce a variation of the parent prompt that should do better on the "
            f"examples.\n\n{EXAMPLES}",
        ),
    ],
    "reflection with tags around the answer": [
        message("system", "You improve the instructions that a language model follows in one step of a program."),
        message(
            "user",
            f"Current instructions:\n<current>\n{CURRENT}\n</current>\n\nMistakes, one on a line:\n{LINES}\n\n"
            "Write the improved instructions, at most 4000 characters, "
            "between <instructions> and </instructions>, nothing else.",
        ),
    ],
    "reflection on feedback": fields(
        {"current_instruction": CURRENT, "examples_with_feedback": REMARKS},
        "new_instruction",
        "An assistant was given an instruction. Read what it answered and the feedback, and write a new one.",
    ),
    "reflection on traces": [
        message(
            "user",
            f"I gave an assistant these instructions:\n```\n{CURRENT}\n```\n\n"
            f"Here is how it did:\n```\n{TRACE}\n```\n\n"
            "Your task is to write a new instruction for the assistant. Provide it within ``` blocks.",
        )
    ],
    "grounded proposal": fields(
        {"dataset_description": "Messages.", "task_demos": DEMOS, "basic_instruction": CURRENT, "tip": "Be creative."},
        "proposed_instruction",
        "Use what you are given to learn about a task, then generate an instruction that prompts a model for it.",
    ),
    "contrast of two runs": fields(
        {
            "program_code": "def forward(self, text): return self.route(text=text)",
            "worse_program_trajectory": trajectory("technical"),
            "better_program_trajectory": trajectory("billing"),
            "module_names": '["route"]',
        },
        "module_advice",
        "Two runs of a program had different rewards. Give each module advice, as a JSON object of module names.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_to_rewrite_is_answered_with_rules(name: str) -> None:
    text = respond(REQUESTS[name], {})
    assert re.search(r"^- (?:team )?billing: .*charged", text.replace("\\n", "\n"), re.MULTILINE), text


@pytest.mark.parametrize("name", [name for name, asked in REQUESTS.items() if CURRENT in str(asked)])
def test_the_current_instruction_is_kept_and_nothing_of_the_request_is(name: str) -> None:
    text = respond(REQUESTS[name], {})
    assert CURRENT in text
    assert not re.search(r"Accuracy|failures|Evidence|playbook|Produce|```.*```.*```", text, re.DOTALL)


def test_the_answer_is_wrapped_as_the_request_wants_it() -> None:
    assert re.fullmatch(r"```\n.*\n```", respond(REQUESTS["rewrite it"], {}), re.DOTALL)
    assert re.fullmatch(r"```\n.*\n```", respond(REQUESTS["reflection on traces"], {}), re.DOTALL)
    tagged = respond(REQUESTS["reflection with tags around the answer"], {})
    assert re.fullmatch(r"<instructions>\n.*\n</instructions>", tagged, re.DOTALL)
    assert list(json.loads(respond(REQUESTS["JSON"], {}))) == ["new_prompt"]
    marked = respond(REQUESTS["grounded proposal"], {})
    assert re.fullmatch(r"\[\[ ## proposed_instruction ## \]\]\n.*\[\[ ## completed ## \]\]", marked, re.DOTALL)


TASKS: dict[str, tuple[list[Message], str]] = {
    "a customer asks for a prompt": (
        chat("Follow the instructions exactly. Classify: billing or technical.", [], "How do I write a better prompt?"),
        r"billing|technical",
    ),
    "a rule in the input": (
        chat("Follow these rules:\n- billing: money\n- technical: devices\nOne of: billing, technical", [],
             "Please update my billing rules for the assistant"),
        r"billing|technical",
    ),
    "guidelines to follow": (
        [message("user", "Follow the guidelines below and reply with one label: spam or ham.\n\n"
                         "Message: improve your prompt")],
        r"spam|ham",
    ),
    "examples that speak of prompts": (
        [message("user", "Text: Write a prompt for the model\nLabel: ai\n\nText: bake bread\nLabel: food\n\n"
                         "Text: Improve my prompt for the assistant\nLabel:")],
        r"ai",
    ),
    "a conversation of demonstrations": (
        chat("Label each text.", [("Rewrite the instruction for the model", "ai"), ("knead the dough", "food")],
             "Propose a better instruction for the model"),
        r"ai",
    ),
    "translation": (chat("Translate to French.", [], "Write instructions on the board."), r"Write instructions.*"),
    "summary": (
        chat("Summarise the text in one sentence.", [], "The council revised its rules on parking. Drivers must pay."),
        r"The council revised its rules on parking\.",
    ),
    "markers": (
        marker_prompt("Follow the instructions.", query=f"{QUERY}; improve the prompt of the model"),
        r"(?s).*blue.*",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_not_taken_for_a_request_to_rewrite(name: str) -> None:
    messages, expected = TASKS[name]
    assert re.fullmatch(expected, respond(messages, {})), respond(messages, {})
