"""Examples and failures are found in whatever notation a request shows them."""

from __future__ import annotations

import json

import pytest

from dspex.clients.embedded.cases import Case, cases_in

CHARGED, DEAD = "I was charged twice", "Router is dead"
ROWS = [
    {"inputs": {"ticket": CHARGED}, "expected": {"team": "billing"}, "predicted": {"team": "technical"}},
    {"inputs": {"ticket": DEAD}, "expected": {"team": "technical"}, "predicted": {"team": "technical"}},
]
NOTATIONS = {
    "JSON list": json.dumps(ROWS, indent=2),
    "JSON lines": "\n".join(map(json.dumps, ROWS)),
    "elements": f"<example><ticket>{CHARGED}</ticket>"
    "<expected_team>billing</expected_team><model_team>technical</model_team>"
    f"</example>\n<example><ticket>{DEAD}</ticket><expected_team>technical</expected_team><model_team>technical</model_team></example>",
    "labels": f"Input: {CHARGED}\nExpected: team=billing\nModel's answer: team=technical\n\n"
    f"Input: {DEAD}\nExpected: team=technical\nModel's answer: team=technical",
    "one line an answer": f"Example 1\nticket: {CHARGED}\nexpected: team: billing | got: team: technical\n"
    f"Example 2\nticket: {DEAD}\nexpected: team: technical | got: team: technical",
    "headings": "".join(
        f"# Example {n}\n## Inputs\n### ticket\n{text}\n\n## Expected\n### team\n{right}\n\n"
        f"## Generated Outputs\n### team\n{given}\n\n"
        for n, (text, right, given) in enumerate(
            ((CHARGED, "billing", "technical"), (DEAD, "technical", "technical")), 1
        )
    ),
    "bold headings with JSON": "".join(
        f'**Input**\n{text}\n**Expected output**\n{{"team": "{right}", "x": "1"}}\n'
        f'**Actual output**\n{{"team": "{given}", "x": "1"}}\n\n'
        for text, right, given in ((CHARGED, "billing", "technical"), (DEAD, "technical", "technical"))
    ),
    "remarks": "".join(
        f"Ticket: {text}\nPredicted team: {given}\nFeedback: {said}\n\n"
        for text, given, said in (
            (CHARGED, "technical", "wrong, the correct team is billing"),
            (DEAD, "technical", "correct, score 1.0"),
        )
    ),
}


@pytest.mark.parametrize("name", NOTATIONS)
def test_cases_with_what_was_expected_and_whether_it_failed(name: str) -> None:
    found = cases_in([("", NOTATIONS[name])])
    assert [(case.text, case.expected["team"], case.failed) for case in found] == [
        (CHARGED, "billing", True),
        (DEAD, "technical", False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        f'1. "{CHARGED}" -> billing\n2. "{DEAD}" -> technical',
        f'- "{CHARGED}" should be billing.\n- "{DEAD}" should be technical.',
        f"Q: {CHARGED}\nA: billing\n\nQ: {DEAD}\nA: technical",
    ],
)
def test_answers_without_a_field(text: str) -> None:
    found = cases_in([("", text)])
    assert [(case.text, case.expected[""]) for case in found] == [(CHARGED, "billing"), (DEAD, "technical")]


def test_labelled_rows_tell_inputs_from_outputs_by_their_values() -> None:
    text = "\n\n".join(
        f"Ticket: {ticket}\nTeam: {team}\nUrgency: low" for ticket, team in ((CHARGED, "billing"), (DEAD, "technical"))
    )
    assert cases_in([("", text)])[0] == Case(CHARGED, {"team": "billing", "urgency": "low"}, False)


def test_python_literals_are_read_as_well() -> None:
    text = (
        f"[Example({{'ticket': {CHARGED!r}, 'team': 'billing'}}), Example({{'ticket': {DEAD!r}, 'team': 'technical'}})]"
    )
    assert [case.expected for case in cases_in([("", text)])] == [{"team": "billing"}, {"team": "technical"}]


def test_a_failure_seen_twice_is_one_failure() -> None:
    labelled = json.dumps({"inputs": {"ticket": CHARGED}, "expected": {"team": "billing"}})
    other = json.dumps({"inputs": {"ticket": DEAD}, "expected": {"team": "technical"}})
    failed = json.dumps(ROWS[0])
    found = cases_in([("", f"{labelled}\n{other}\n\nMistakes:\n{failed}")])
    assert [(case.text, case.failed) for case in found] == [(CHARGED, True), (DEAD, False)]


@pytest.mark.parametrize("text", ["", "No examples here.", "Instruction #1: do it\nScore: 3"])
def test_no_cases_where_there_are_none(text: str) -> None:
    assert cases_in([("", text)]) == ()
