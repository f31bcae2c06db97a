"""There is an answer to every request, however odd, and it is the same each time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspex.clients.embedded.responding import respond
from tests.clients.embedded.prompts import message

PIECES = (
    "[[ ## a ## ]]", "[[b]]", "\n\n", "\n", "Input: ", "Expected: ", "- x: ", "{", "}", "[", "]", '"', "'", "```",
    "<a>", "</a>",
    "write a better instruction for the model ", "score: 3", "Instruction #1:", "one of: a, b", "Answer:", "**",
    "# H", "->", "the correct team is ", "(", ")", "|", ";", "1,234.5", "2024-99-01", "é", "😀", "Example 1\n",
    '{"a": 1, "b": "x"}', "{'a': b'x', 2: 3}", "- billing: a, b\n", "should be", '"""', "Literal['a', 1, None]",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=60)
MESSAGES = st.lists(st.builds(message, st.sampled_from(["system", "user", "assistant"]), TEXTS), max_size=5)


@given(MESSAGES, st.sampled_from([0.0, 1.0]), st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_any_messages_are_answered_the_same_way_twice(
    messages: list[dict[str, str]], temperature: float, sample: int
) -> None:
    first = respond(messages, {"temperature": temperature}, sample)
    assert first == respond(messages, {"temperature": temperature}, sample)


@pytest.mark.parametrize("text", ["[" * 20_000, '{"a": ' * 5_000, "<a>" * 8_000, "Key: value\n" * 3_000, "x " * 40_000])
def test_long_and_deep_texts_are_answered(text: str) -> None:
    assert isinstance(
        respond([message("system", text), message("user", f"improve the prompt of the model {text}")], {}), str
    )
