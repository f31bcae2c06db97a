"""Which evidence wins, what temperature and reasoning do, and what free answers are."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from dspex.clients.embedded.responding import respond
from tests.clients.embedded.prompts import Message, chat, marker_prompt, message

RULES = "Is the thing red, blue or green?\n- red: fire, roses\n- blue: sky, sea\n- green: grass, frogs"


def ask(system: str, shown: list[tuple[str, str]], query: str, temperature: float = 0.0, sample: int = 0) -> str:
    return respond(chat(system, shown, query), {"temperature": temperature}, sample)


def test_more_relevant_evidence_wins_over_many_demonstrations() -> None:
    many = [(f"a {word} in the garden", "green") for word in ("bench", "pond", "shed", "path", "wall", "gate")]
    shown = [*many, ("lava from the volcano", "red")]
    assert ask("Is it red or green?", shown, "glowing lava of a volcano") == "red"


def test_rules_speak_where_demonstrations_do_not() -> None:
    assert ask(RULES, [("snow", "blue")], "frogs in the grass") == "green"


def test_a_typing_error_does_no_harm() -> None:
    assert (
        ask("- red: password, profile\n- blue: delivery, parcel\nOne of: red, blue", [], "my pasword is gone") == "red"
    )


def test_without_any_evidence_the_label_itself_decides_and_then_the_first_answer() -> None:
    system = "Choose one of: apples, pears, plums"
    assert ask(system, [], "I would like a pear") == "pears"
    assert ask(system, [], "zzz") == "apples"


def test_the_label_itself_is_no_evidence_beside_other_evidence() -> None:
    shown = [("the sky at noon", "pears"), ("a night of rain", "apples")]
    assert ask("Choose one of: apples, pears", shown, "apples under the sky at noon") == "pears"


def test_a_default_is_overruled_by_evidence() -> None:
    system = "One of: red, blue, green.\n- red: fire, smoke\nOtherwise answer green."
    assert ask(system, [], "nothing to see") == "green"
    assert ask(system, [], "fire and smoke") == "red"


def test_the_answer_is_the_same_for_the_same_request_and_varies_with_temperature() -> None:
    shown = [("sky", "blue"), ("leaf", "green"), ("rose", "red")]
    cold = {ask("red, blue or green?", shown, "a leaf under the sky", sample=sample) for sample in range(5)}
    assert len(cold) == 1
    warm = Counter(ask("red, blue or green?", shown, "a leaf under the sky", 1.0, sample) for sample in range(60))
    assert len(warm) > 1
    again = Counter(ask("red, blue or green?", shown, "a leaf under the sky", 1.0, sample) for sample in range(60))
    assert warm == again


def test_a_higher_temperature_follows_the_evidence_less() -> None:
    def share(temperature: float) -> int:
        answers = [ask(RULES, [], "sky and sea and frogs", temperature, sample) for sample in range(200)]
        return answers.count("blue")

    assert share(0.0) == 200 > share(0.7) > share(2.5) > 200 // 3


def two_fields(guidance: str, query: str) -> dict[str, str]:
    form = '{"colour": ..., "size": ...}; colour is one of: red, blue; size is one of: big, small'
    text = f"{guidance}\nAnswer with JSON: {form}"
    found: dict[str, str] = json.loads(respond([message("system", text), message("user", query)], {}))
    return found


def test_fields_are_answered_independently() -> None:
    rules = "- colour red: fire\n- colour blue: sky\n- size big: whale, house\n- size small: ant"
    assert two_fields(rules, "an ant in the sky") == {"colour": "blue", "size": "small"}
    assert two_fields(rules, "a whale on fire") == {"colour": "red", "size": "big"}


def reasoned(rules: str, query: str, reasoning: bool) -> dict[str, str]:
    keys = '{"reasoning": "...", "colour": "..."}' if reasoning else '{"colour": "..."}'
    text = f"{rules}\nAnswer with JSON like {keys}; `colour` is one of: red, blue"
    found: dict[str, str] = json.loads(respond([message("system", text), message("user", query)], {}))
    return found


def test_with_reasoning_all_matches_count_and_are_quoted() -> None:
    rules = "- red: fire, smoke, siren\n- blue: tide, gull, wave, boat, fish, shell, sand"
    query = "fire, smoke, a siren; a wave, a boat, a fish, a shell, sand"
    assert reasoned(rules, query, False)["colour"] == "red"
    thought = reasoned(rules, query, True)
    assert thought["colour"] == "blue"
    assert '"wave"' in thought["reasoning"]
    assert "blue" in thought["reasoning"]


def test_reasoning_without_matches_claims_none() -> None:
    assert reasoned("- red: fire\n- blue: sky", "zzz", True)["reasoning"].startswith("Nothing in the instructions")


def question(context: str, asked: str, shown: list[tuple[str, str]] | None = None) -> str:
    pairs = [(f"Context: {context}\nQuestion: {q}", a) for q, a in shown or []]
    return respond(chat("Answer from the context.", pairs, f"Context: {context}\nQuestion: {asked}"), {})


CITY = "The town hall opened in 1904. It was designed by Ines Roth. The market is held on Friday near the river."


def test_free_text_is_the_best_sentence_of_the_context() -> None:
    assert question(CITY, "Who designed it?") == "It was designed by Ines Roth."
    assert question(CITY, "On which day is the market held?").startswith("The market is held on Friday")


def test_free_text_is_brief_where_the_demonstrations_are() -> None:
    shown = [("When did the town hall open?", "1904")]
    assert question(CITY, "Who designed it?", shown) == "Ines Roth"


def test_a_question_that_was_shown_gets_the_answer_that_was_shown() -> None:
    pairs = [
        ("What does KTX mean?", "Kettle transfer exchange, an invented term."),
        ("What is a zorb?", "A ball to sit in."),
    ]
    assert respond(chat("Explain.", pairs, "What does KTX mean?"), {}) == pairs[0][1]


@pytest.mark.parametrize("prompt", [[], [message("user", "")], [message("system", "Only this.")]])
def test_there_is_always_an_answer(prompt: list[Message]) -> None:
    assert isinstance(respond(prompt, {}), str)


def test_the_demand_of_a_marker_prompt_gives_the_choices_without_any_example() -> None:
    assert "[[ ## colour ## ]]\nred" in respond(marker_prompt("- red: fire", (), "a fire"), {})
