"""What a rewritten instruction holds: the old text, the old rules, what the examples teach, and no more than asked."""

from __future__ import annotations

import json
import re

from dspex.clients.embedded.responding import respond
from tests.clients.embedded.prompts import message

BILLING = ("I was charged twice", "an invoice with a wrong amount", "charged for a refund", "refund of the invoice")
TECHNICAL = ("the router blinks", "no wifi upstairs", "router and wifi are dead", "the app crashes")
CASES = [(text, "billing") for text in BILLING] + [(text, "technical") for text in TECHNICAL]


def ask(current: str, cases: list[tuple[str, str]], wish: str = "", temperature: float = 0.0, sample: int = 0) -> str:
    rows = "\n".join(json.dumps({"inputs": {"text": text}, "expected": {"team": team}}) for text, team in cases)
    text = f"Current instruction:\n<current>\n{current}\n</current>\n\nExamples, one on a line:\n{rows}\n\n{wish}"
    system = "You improve the instruction that a language model follows. Answer with the improved instruction only."
    return respond([message("system", system), message("user", text)], {"temperature": temperature}, sample)


def terms(text: str, answer: str) -> list[str]:
    found = re.search(rf"^.*{answer}: (.*)$", text, re.MULTILINE)
    return found.group(1).split(", ") if found else []


STATEMENT = "Read a message.\nSay which team it is for: billing or technical."


def test_terms_go_to_the_answer_whose_examples_have_them() -> None:
    text = ask(STATEMENT, CASES)
    assert text.startswith(STATEMENT)
    assert {"charged", "invoice", "refund"} <= set(terms(text, "billing"))
    assert {"router", "wifi"} <= set(terms(text, "technical"))
    assert not set(terms(text, "billing")) & set(terms(text, "technical"))


def test_earlier_rules_are_extended_in_their_place() -> None:
    current = f"{STATEMENT}\n- billing: everything about money and contracts, tax\n- technical: firmware\nBe quick."
    text = ask(current, CASES)
    lines = text.split("\n")
    assert lines[:2] == STATEMENT.split("\n")
    assert lines[2].startswith("- billing: everything about money and contracts")
    assert {"tax", "invoice"} <= set(terms(text, "billing"))
    assert {"firmware", "router"} <= set(terms(text, "technical"))
    assert "Be quick." in lines
    assert text.count("billing:") == 1


def test_a_term_that_the_examples_give_to_another_answer_leaves_its_line() -> None:
    cases = [*CASES, *((f"router {word}", "technical") for word in ("red", "old", "slow", "lost", "warm", "gone"))]
    text = ask(
        f"{STATEMENT}\n- billing: tax, bill, cost, price, money, fee, card, cash, iban, router\n- technical: cable",
        cases,
    )
    assert "router" not in terms(text, "billing")
    assert "router" in terms(text, "technical")
    assert "tax" in terms(text, "billing")


def test_rewriting_again_with_the_same_examples_changes_little() -> None:
    once = ask(STATEMENT, CASES)
    twice = ask(once, CASES)
    assert set(terms(twice, "billing")) == set(terms(once, "billing"))
    assert twice.count("\n") == once.count("\n")


def test_the_usual_answer_becomes_the_default_once() -> None:
    cases = [*CASES, ("hello", "technical"), ("it rains", "technical"), ("good day", "technical")]
    text = ask(STATEMENT, cases)
    assert text.count("Otherwise") == 1
    assert "answer technical" in text
    assert ask(text, cases).count("Otherwise") == 1


def test_a_limit_of_the_request_is_kept() -> None:
    cases = [(f"{text} word{number} thing{number}", team) for number, (text, team) in enumerate(CASES)]
    text = ask(STATEMENT, cases, "Use at most 160 characters.")
    assert len(text) <= 160
    assert "billing:" in text
    assert len(ask(STATEMENT, cases)) > 160


def test_variants_differ_by_sample_and_are_repeatable() -> None:
    cases = [(f"{text} and {word}", team) for (text, team) in CASES for word in ("sun", "rain", "snow", "wind")]
    drawn = [ask(STATEMENT, cases, temperature=0.8, sample=sample) for sample in range(6)]
    assert len(set(drawn)) > 3
    assert drawn == [ask(STATEMENT, cases, temperature=0.8, sample=sample) for sample in range(6)]
    assert ask(STATEMENT, cases) == ask(STATEMENT, cases)


def test_rules_for_several_fields_name_the_field_and_are_read_back() -> None:
    rows = "\n".join(
        json.dumps({"inputs": {"text": text}, "expected": {"team": team, "tone": tone}})
        for (text, team), tone in zip(CASES, ["calm", "cross"] * 4, strict=True)
    )
    text = respond([message("user", f"Write an instruction for a model from these examples.\n{rows}")], {})
    assert re.search(r"^- team billing: ", text, re.MULTILINE)
    assert re.search(r"^- tone cross: ", text, re.MULTILINE)
    form = 'JSON: {"team": ..., "tone": ...}; team is one of: technical, billing; tone is one of: cross, calm'
    answer = json.loads(respond([message("system", f"{text}\n\n{form}"), message("user", "a refund was charged")], {}))
    assert answer["team"] == "billing"


def test_free_answers_teach_their_form() -> None:
    rows = [
        ("What is 3 + 4?", "7"),
        ("What is 12 - 2?", "10"),
        ("Half of 50?", "25"),
        ("2 * 8?", "16"),
        ("9 + 9?", "18"),
    ]
    shown = "\n\n".join(f"Question: {question}\nExpected: {answer}" for question, answer in rows)
    text = respond([message("user", f"Improve this prompt for a model.\n\nPrompt:\nSolve it.\n\n{shown}")], {})
    assert text.startswith("Solve it.")
    assert "bare number" in text


def test_without_examples_the_instruction_is_tidied_and_something_true_is_added() -> None:
    wish = "Rewrite this prompt so that the model does better:\n"
    wish += "```\nSort  mail.   \nSort mail.\nSort mail.\n\n\nBe quick.\n```"
    text = respond([message("user", wish)], {})
    assert text.startswith("Sort  mail.\nSort mail.\n\nBe quick.")
    assert len(text.split("\n")) == 5
    assert "examples" in text.split("\n")[-1]


def test_of_scored_attempts_the_best_is_carried_on() -> None:
    tried = "[1] «Instruction #1: Guess.»\n[2] «Prefix #1: A:»\n[3] «Resulting Score #1: 12.5»\n"
    tried += "[4] «Instruction #2: Think of the colours.»\n[5] «Prefix #2: So:»\n[6] «Resulting Score #2: 61.0»"
    asked = f"[[ ## attempts ## ]]\n{tried}\n\n"
    asked += "Respond with `[[ ## better_instruction ## ]]`, then `[[ ## answer_prefix ## ]]`."
    text = respond([message("system", "Propose a better instruction for a model."), message("user", asked)], {})
    assert text.startswith("[[ ## better_instruction ## ]]\nThink of the colours.")
    assert "Guess" not in text


def test_examples_are_described_where_observations_are_asked_for() -> None:
    rows = "\n\n".join(f"Text: {text}\nTeam: {team}" for text, team in CASES)
    asked = f"[[ ## examples ## ]]\n{rows}\n\nRespond with the fields, starting with `[[ ## observations ## ]]`."
    text = respond([message("system", "Observe the data set."), message("user", asked)], {})
    assert "8 examples" in text
    assert "billing, technical" in text
