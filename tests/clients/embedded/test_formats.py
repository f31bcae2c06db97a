"""The model finds out what is asked for, and answers in that form, whatever library wrote the prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from dspex.clients.embedded.responding import respond
from tests.clients.embedded.prompts import COLOURS, QUERY, SHOWN, Message, chat, marker_prompt, message

Read = Callable[[str], str]


def bare(text: str) -> str:
    return text


def member(text: str) -> str:
    value = json.loads(text)
    assert list(value) == ["colour"]
    return str(value["colour"])


def section(pattern: str) -> Read:
    def read(text: str) -> str:
        found = re.fullmatch(pattern, text, re.DOTALL)
        assert found is not None, text
        return found.group(1)

    return read


NAMES = "one of: red; blue; green"
IN_TEXT = "\n\n".join(f"Thing: {thing}\nColour: {colour}" for thing, colour in SHOWN)
FORMATS: dict[str, tuple[list[Message], Read]] = {
    "markers with hashes": (
        marker_prompt(),
        section(r"\[\[ ## colour ## \]\]\n(\w+)\n\n\[\[ ## completed ## \]\]"),
    ),
    "markers without hashes": (
        chat(
            f"You answer with these fields:\n- colour ({NAMES})\n\nIn this shape:\n\n[[colour]]\n...\n\n[[end]]",
            [
                (f"[[thing]]\n{t}\n\nAnswer with [[colour]] and [[end]].", f"[[colour]]\n{c}\n\n[[end]]")
                for t, c in SHOWN
            ],
            f"[[thing]]\n{QUERY}\n\nAnswer with [[colour]] and [[end]].",
        ),
        section(r"\[\[colour\]\]\n(\w+)\n\n\[\[end\]\]"),
    ),
    "JSON after markers": (
        chat(
            f"Fields: thing. Give a JSON object with the key `colour` ({NAMES}).",
            [(f"[[ ## thing ## ]]\n{t}", json.dumps({"colour": c})) for t, c in SHOWN],
            f"[[ ## thing ## ]]\n{QUERY}\n\nRespond with a JSON object in the following order of fields: `colour`.",
        ),
        member,
    ),
    "JSON schema in the prompt": (
        chat(
            "Reply with JSON that is valid under this schema:\n"
            + json.dumps({"type": "object", "properties": {"colour": {"type": "string", "enum": list(COLOURS)}}}),
            [(t, json.dumps({"colour": c})) for t, c in SHOWN],
            QUERY,
        ),
        member,
    ),
    "JSON template in the prompt": (
        chat(
            'Say which colour a thing has. Output JSON like {"colour": <one of "red", "blue", "green">}.',
            [(t, json.dumps({"colour": c})) for t, c in SHOWN],
            QUERY,
        ),
        member,
    ),
    "JSON without a template": (
        chat("Answer in JSON.", [(t, json.dumps({"colour": c})) for t, c in SHOWN], QUERY),
        member,
    ),
    "XML": (
        chat(
            f"Write <colour>...</colour>, {NAMES}.",
            [(f"<thing>{t}</thing>", f"<colour>{c}</colour>") for t, c in SHOWN],
            f"<thing>{QUERY}</thing>\n\nAnswer with <colour>...</colour> and nothing else.",
        ),
        section(r"<colour>\n?(\w+)\n?</colour>"),
    ),
    "headings": (
        chat(
            "Name the colour under a heading.",
            [(f"## Thing\n{t}", f"## Colour\n{c}") for t, c in SHOWN],
            f"## Thing\n{QUERY}",
        ),
        section(r"## Colour\n(\w+)"),
    ),
    "labels": (
        chat(
            "Name the colour.",
            [(f"Thing: {t}", f"Colour: {c}\nSure: yes") for t, c in SHOWN],
            f"Thing: {QUERY}",
        ),
        section(r"Colour: (\w+)\nSure: yes"),
    ),
    "bare pairs": (chat("Is it red, blue or green?", SHOWN, QUERY), bare),
    "one message with a cue": (
        [
            message(
                "user", f"Give the colour of each thing: red, blue or green.\n\n{IN_TEXT}\n\nThing: {QUERY}\nColour:"
            )
        ],
        bare,
    ),
    "cue in bold": (
        [message("user", "\n\n".join(f"**Q:** {t}\n**A:** {c}" for t, c in SHOWN) + f"\n\n**Q:** {QUERY}\n**A:**")],
        bare,
    ),
    "examples in elements": (
        [
            message(
                "user",
                "Sort things by colour (one of: red, blue, green).\n<examples>\n"
                + "\n".join(f"<example><thing>{t}</thing><colour>{c}</colour></example>" for t, c in SHOWN)
                + f"\n</examples>\n<thing>{QUERY}</thing>\n\nAnswer with <colour>...</colour> only.",
            )
        ],
        section(r"<colour>\n?(\w+)\n?</colour>"),
    ),
    "examples in the system message": (
        [message("system", f"Give the colour.\n\n{IN_TEXT}"), message("user", f"Thing: {QUERY}\nColour:")],
        bare,
    ),
    "examples as JSON lines": (
        [
            message(
                "user",
                "Answer with the colour only, one of: red, blue, green.\n\n"
                + "\n".join(json.dumps({"thing": t, "colour": c}) for t, c in SHOWN)
                + f"\n\nThing: {QUERY}\nColour:",
            )
        ],
        bare,
    ),
    "content in parts": (
        [
            {"role": "system", "content": [{"type": "text", "text": "Say red, blue or green."}]},
            *chat("", SHOWN, "")[1:-1],
            {"role": "user", "content": [{"type": "text", "text": QUERY}]},
        ],
        bare,
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_answers_by_the_nearest_demonstration_in_the_form_of_the_prompt(name: str) -> None:
    messages, read = FORMATS[name]
    assert read(respond(messages, {})) == "blue"


RULED = (
    "Which colour has the thing?\n- red: fire, roses, blood\n- blue: sky, sea, ink\n- green: grass, leaves, frogs\n\n"
)
WITHOUT_EXAMPLES: dict[str, tuple[list[Message], Read]] = {
    "a literal in the demand": (marker_prompt(RULED, ()), section(r"\[\[ ## colour ## \]\]\n(\w+)\n\n.*")),
    "one of": ([message("system", f"{RULED}Reply with one of: red, blue, green."), message("user", QUERY)], bare),
    "a question of three": ([message("user", f"{RULED}Say red, blue or green.\n\nThing: {QUERY}")], bare),
    "a quotation": (
        [message("user", f'{RULED}Label it as "red", "blue" or "green": "{QUERY} of the far north"')],
        bare,
    ),
    "a fence": ([message("user", f"{RULED}Choose one of: red, blue, green\n\n```\n{QUERY}\n```")], bare),
    "options": ([message("user", f"{RULED}Options: red / blue / green\n\nThing: {QUERY}\nOption:")], bare),
    "a vertical bar": (
        [message("system", f'{RULED}JSON: {{"colour": "red" | "blue" | "green"}}'), message("user", QUERY)],
        member,
    ),
}


@pytest.mark.parametrize("name", WITHOUT_EXAMPLES)
def test_answers_by_the_rules_in_the_form_of_the_prompt(name: str) -> None:
    messages, read = WITHOUT_EXAMPLES[name]
    assert read(respond(messages, {})) == "blue"


def wire(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


def test_the_schema_on_the_wire_decides_fields_types_and_order() -> None:
    schema = {
        "type": "object",
        "properties": {
            "why": {"type": "string"},
            "colour": {"enum": ["red", "blue", "green"]},
            "sure": {"type": "boolean"},
            "count": {"type": "integer", "minimum": 1, "maximum": 9},
            "share": {"type": "number"},
            "seen": {"type": "string", "format": "date"},
            "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "minItems": 2},
            "other": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
        "$defs": {
            "Part": {"type": "object", "properties": {"name": {"type": "string"}, "hue": {"enum": ["dark", "light"]}}}
        },
    }
    text = "4 blue stones, 2.5 kg, found on 3 May 2024"
    value = json.loads(respond([message("system", "Describe."), message("user", text)], wire(schema)))
    assert list(value) == list(schema["properties"])
    assert value["colour"] == "blue"
    assert value["sure"] is False
    assert value["count"] == 4
    assert value["share"] == 2.5
    assert value["seen"] == "2024-05-03"
    assert [part["hue"] for part in value["parts"]] == ["dark", "dark"]
    assert isinstance(value["other"], str)


def test_an_answer_that_was_refused_is_given_again_to_the_same_question() -> None:
    messages = marker_prompt()
    complaint = message(
        "user", "Your last answer could not be used:\n- colour is missing\n\nAnswer with `[[ ## colour ## ]]`."
    )
    again = respond([*messages, message("assistant", "blau"), complaint], {})
    assert "blue" in again
    assert again.startswith("[[ ## colour ## ]]")


def test_a_demonstration_with_a_field_left_out_still_shows_the_others() -> None:
    messages = chat(
        f"colour ({NAMES}), size (one of: big; small)",
        [
            ("[[thing]]\nsky\n\nAnswer with [[colour]] and [[end]].", "[[colour]]\nblue\n\n[[end]]"),
            ("[[thing]]\nant\n\nAnswer with [[size]] and [[end]].", "[[size]]\nsmall\n\n[[end]]"),
        ],
        "[[thing]]\nant in the sky\n\nAnswer with [[colour]], [[size]] and [[end]].",
    )
    assert respond(messages, {}) == "[[colour]]\nblue\n\n[[size]]\nsmall\n\n[[end]]"
